// Blocks are made by one set of threads and freed by another: addresses come back at once.

#include "planted.h"
#include <pthread.h>

enum { PAIRS = 4, BLOCKS = 40000 };

static void *_Atomic slots[PAIRS];

static void *make(void *argument) {
    uintptr_t pair = (uintptr_t)argument;
    for (int i = 0; i < BLOCKS; i++) {
        void *block = malloc(64);
        while (slots[pair] != NULL) sched_yield();
        slots[pair] = block;
    }
    return NULL;
}

static void *take(void *argument) {
    uintptr_t pair = (uintptr_t)argument;
    for (int i = 0; i < BLOCKS; i++) {
        void *block;
        while ((block = slots[pair]) == NULL) sched_yield();
        slots[pair] = NULL;
        free(block);
    }
    return NULL;
}

int main(void) {
    ready("%d", 1);
    while (next_command()) {
        pthread_t threads[2 * PAIRS];
        for (uintptr_t i = 0; i < PAIRS; i++) {
            if (pthread_create(&threads[2 * i], NULL, make, (void *)i) != 0) return 2;
            if (pthread_create(&threads[2 * i + 1], NULL, take, (void *)i) != 0) return 2;
        }
        for (int i = 0; i < 2 * PAIRS; i++) pthread_join(threads[i], NULL);
        reply("%d", PAIRS * BLOCKS);
    }
    return 0;
}
