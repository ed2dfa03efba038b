// A command `N` starts and ends N threads, eight at a time, each of which allocates, frees most, and
// leaves the rest to be freed by the main thread.

#include "planted.h"
#include <pthread.h>

enum { AT_ONCE = 8, BLOCKS = 200 };

static void *work(void *argument) {
    void **left = argument;
    for (int i = 0; i < BLOCKS; i++) {
        void *block = memset(malloc(100 + i * 37), 1, 100 + i * 37);
        if (i % 20 == 0) left[i / 20] = block;
        else free(block);
    }
    return NULL;
}

int main(void) {
    ready("");
    const char *command;
    while ((command = next_command())) {
        for (int n = atoi(command); n > 0; n -= AT_ONCE) {
            pthread_t threads[AT_ONCE];
            void *left[AT_ONCE][BLOCKS / 20];
            for (int t = 0; t < AT_ONCE; t++)
                if (pthread_create(&threads[t], NULL, work, left[t]) != 0) return 2;
            for (int t = 0; t < AT_ONCE; t++) {
                pthread_join(threads[t], NULL);
                for (int i = 0; i < BLOCKS / 20; i++) free(left[t][i]);
            }
        }
        reply("done");
    }
    return 0;
}
