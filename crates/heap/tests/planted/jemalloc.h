/* What jemalloc itself says of its heap, for a walk from outside to be held against. Nothing here
 * allocates once `main` has begun. */
#include "planted.h"
#include <stdbool.h>

int mallctl(const char *name, void *old, size_t *old_length, void *new, size_t new_length)
    __attribute__((weak));

static size_t figure(const char *name) {
    size_t value = 0, length = sizeof value;
    if (mallctl == NULL || mallctl(name, &value, &length, NULL, 0) != 0) _exit(5);
    return value;
}

/* Serves these commands until another one comes, which is returned; NULL when the test is done.
 *   books  allocated, active, dirty, muzzy, retained, cached and metadata bytes
 *   purge  all unused pages
 *   sizes  of every small class
 */
__attribute__((unused)) static const char *serve_books(void) {
    const char *command;
    while ((command = next_command()) != NULL) {
        if (is(command, "books")) {
            uint64_t epoch = 1;
            size_t length = sizeof epoch;
            mallctl("epoch", &epoch, &length, &epoch, sizeof epoch);
            reply("%lu %lu %lu %lu %lu %lu %lu", figure("stats.allocated"), figure("stats.active"),
                  figure("stats.arenas.4096.pdirty") * 4096, figure("stats.arenas.4096.pmuzzy") * 4096,
                  figure("stats.retained"), figure("stats.arenas.4096.tcache_bytes"),
                  figure("stats.metadata"));
        } else if (is(command, "purge")) {
            mallctl("arena.4096.purge", NULL, NULL, NULL, 0);
            reply("%s", "");
        } else {
            return command;
        }
    }
    return NULL;
}
