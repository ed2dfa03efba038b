// Threads with the smallest stacks there are, all allocating.

#include "planted.h"
#include <limits.h>
#include <pthread.h>

static void *churn(void *argument) {
    for (int i = 0; i < 2000; i++) {
        // Volatile, or the compiler leaves both out.
        void *volatile block = malloc((size_t)i * 7 + 1);
        free(block);
    }
    return argument;
}

int main(void) {
    ready("%d", 1);
    while (next_command()) {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN);
        unsigned n = 0;
        for (int round = 0; round < 25; round++) {
            pthread_t threads[8];
            for (int i = 0; i < 8; i++)
                if (pthread_create(&threads[i], &attributes, churn, NULL) != 0) return 2;
            for (int i = 0; i < 8; i++) n += pthread_join(threads[i], NULL) == 0;
        }
        reply("%u", n);
    }
    return 0;
}
