// Threads with the smallest stack there is use every entry of malloc; some do it on a signal stack.

#include "planted.h"
#include <limits.h>
#include <pthread.h>
#include <signal.h>

static size_t smallest;

static void *work(void *argument) {
    for (int i = 0; i < 200; i++) {
        char *block = malloc(10 + i * 311);
        block = realloc(block, 20 + i * 533);
        void *page = NULL;
        if (!block || posix_memalign(&page, 4096, 100)) return NULL;
        free(page);
        free(block);
        free(calloc(i, 100));
    }
    struct mallinfo2 info = mallinfo2();
    malloc_trim(0);
    return info.uordblks > 0 ? argument : NULL;
}

int main(void) {
    smallest = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    ready("%lu", smallest);
    while (next_command()) {
        int failed = 0;
        for (int round = 0; round < 20; round++) {
            pthread_t threads[8];
            pthread_attr_t attributes;
            pthread_attr_init(&attributes);
            pthread_attr_setstacksize(&attributes, smallest + (round % 2) * 16384);
            for (int t = 0; t < 8; t++)
                if (pthread_create(&threads[t], &attributes, work, &smallest) != 0) return 2;
            for (int t = 0; t < 8; t++) {
                void *result = NULL;
                pthread_join(threads[t], &result);
                failed += result == NULL;
            }
        }
        reply("%d failed", failed);
    }
    return 0;
}
