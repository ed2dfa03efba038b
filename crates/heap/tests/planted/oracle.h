/* What glibc itself says of its heap, for a walk from outside to be held against. Nothing here
 * allocates. */
#include "planted.h"
#include <pthread.h>
#include <stdio.h>

#if __GLIBC_PREREQ(2, 33)
#define MALLINFO mallinfo2
#else
#define MALLINFO mallinfo
#endif

/* Serves these commands until another one comes, which is returned; NULL when the test is done.
 *   books  bytes of arenas, free chunks, fast chunks, mapped chunks and their bytes, bytes in fast
 *          bins, in use, free
 *   info   the same by arena, as XML on standard error
 *   trim   malloc_trim(0)
 */
__attribute__((unused)) static const char *serve_books(void) {
    const char *command;
    while ((command = next_command()) != NULL) {
        if (is(command, "books")) {
            __typeof__(MALLINFO()) m = MALLINFO();
            reply("%lu %lu %lu %lu %lu %lu %lu %lu", (long)m.arena, (long)m.ordblks, (long)m.smblks,
                  (long)m.hblks, (long)m.hblkhd, (long)m.fsmblks, (long)m.uordblks, (long)m.fordblks);
        } else if (is(command, "info")) {
            malloc_info(0, stderr);
            reply("%s", "");
        } else if (is(command, "trim")) {
            malloc_trim(0);
            reply("%s", "");
        } else {
            return command;
        }
    }
    return NULL;
}
