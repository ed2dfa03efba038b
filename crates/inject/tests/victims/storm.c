/* Threads that do nothing but what an entry must not meet: allocate, load libraries, fork. Each counts
 * its rounds. A few wait, as threads of a service do; with a fifth argument the main thread does not. */
#include "planted.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

enum { MOST = 64 };
volatile unsigned long rounds[MOST];

static void *allocate(void *own) {
    volatile unsigned long *count = own;
    unsigned seed = (unsigned)(uintptr_t)own;
    void *held[64] = {0};
    for (;; ++*count) {
        seed = seed * 1103515245 + 12345;
        unsigned slot = seed >> 16 & 63;
        free(held[slot]);
        size_t size = 16 + (seed >> 8 & 0x3fff);
        char *block = held[slot] = malloc(size);
        block[0] = block[size - 1] = 1;
        /* Leaves some of the processors to the others, or only the scheduler would be tested. */
        if ((seed & 0x3ff00) == 0) usleep(2000);
    }
    return NULL;
}

static void *load(void *own) {
    volatile unsigned long *count = own;
    for (;; ++*count) {
        void *library = dlopen("libresolv.so.2", RTLD_NOW);
        if (library == NULL) _exit(4);
        dlclose(library);
    }
    return NULL;
}

static void *forks(void *own) {
    volatile unsigned long *count = own;
    for (;; ++*count) {
        pid_t child = fork();
        if (child == 0) {
            free(malloc(100));
            _exit(0);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) _exit(5);
    }
    return NULL;
}

static void *naps(void *own) {
    volatile unsigned long *count = own;
    struct timespec nap = {0, 3000000};
    for (;; ++*count) {
        free(malloc(3000));
        if (nanosleep(&nap, NULL) != 0) _exit(6);
    }
    return NULL;
}

int main(int argc, char **argv) {
    int next = 0;
    void *(*kinds[])(void *) = {allocate, load, forks, naps};
    for (int kind = 0; kind < 4; kind++)
        for (int n = atoi(argc > kind + 1 ? argv[kind + 1] : "0"); n > 0; n--) {
            pthread_t thread;
            pthread_create(&thread, NULL, kinds[kind], (void *)&rounds[next++]);
        }
    int is_busy = argc > 5;
    ready("%p %d", rounds, next + is_busy);
    if (is_busy) allocate((void *)&rounds[next]);
    serve();
}
