/* A small heap with slabs, large blocks and freed pages, for recordings. */
#include <pthread.h>

static pthread_barrier_t parked;

static void fill(void) {
    static __thread void *blocks[400];
    for (int i = 0; i < 400; i++) blocks[i] = touched(1 + next_random(i % 20 == 0 ? 40000 : 2000));
    for (int i = 0; i < 400; i += 3) free(blocks[i]);
}

static void *park(void *unused) {
    (void)unused;
    fill();
    pthread_barrier_wait(&parked);
    for (;;) pause();
}

int main(void) {
    pthread_t thread;
    pthread_barrier_init(&parked, NULL, 2);
    fill();
    pthread_create(&thread, NULL, park, NULL);
    pthread_barrier_wait(&parked);
    ready("%s", "");
    serve_books();
}
