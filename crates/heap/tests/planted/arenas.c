/* Threads with an arena each, several heaps long, with holes; a quarter of the threads has ended.
 * Says how many blocks they hold. */
static pthread_barrier_t filled, done;

static void *fill(void *argument) {
    size_t index = (size_t)argument, n = 4000;
    void **blocks = malloc(n * sizeof *blocks);
    for (size_t i = 0; i < n; i++) blocks[i] = touched(1000 + (i * 7919 + index * 31) % 40000);
    for (size_t i = 0; i < n; i++) {
        if (i % 16 != index % 16) free(blocks[i]);
    }
    pthread_barrier_wait(&filled);
    if (index % 4 != 0) pthread_barrier_wait(&done);
    return NULL;
}

int main(int argc, char **argv) {
    size_t n_threads = argc > 1 ? atoi(argv[1]) : 4;
    pthread_t threads[64];
    pthread_barrier_init(&filled, NULL, n_threads + 1);
    pthread_barrier_init(&done, NULL, n_threads);
    for (size_t i = 0; i < n_threads; i++) pthread_create(&threads[i], NULL, fill, (void *)i);
    pthread_barrier_wait(&filled);
    for (size_t i = 0; i < n_threads; i += 4) pthread_join(threads[i], NULL);
    ready("%zu", n_threads * (1 + 4000 / 16));
    serve_books();
}
