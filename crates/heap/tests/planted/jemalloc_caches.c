/* Threads that each park blocks of several sizes in their cache, and hold some. Says how many of
 * them are live. */
#include <pthread.h>

static pthread_barrier_t parked;

static void *park(void *unused) {
    (void)unused;
    void *held[20], *freed[20];
    for (size_t size = 16; size <= 1024; size *= 2) {
        for (int i = 0; i < 20; i++) held[i] = touched(size), freed[i] = touched(size);
        for (int i = 0; i < 20; i++) free(freed[i]);
    }
    pthread_barrier_wait(&parked);
    pause();
    return held[0];
}

int main(int argc, char **argv) {
    int n_threads = argc > 1 ? atoi(argv[1]) : 3;
    pthread_t thread;
    pthread_barrier_init(&parked, NULL, n_threads + 1);
    for (int i = 0; i < n_threads; i++) pthread_create(&thread, NULL, park, NULL);
    pthread_barrier_wait(&parked);
    ready("%d", n_threads * 7 * 20);
    serve_books();
}
