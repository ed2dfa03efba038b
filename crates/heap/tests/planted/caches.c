/* Threads that each park blocks of every small size in their cache. Says how many chunks, and of
 * how many bytes, all caches hold. */
static pthread_barrier_t parked;

static void *park(void *unused) {
    void *blocks[7];
    (void)unused;
    for (size_t size = 24; size <= 1032; size += 16) {
        for (int i = 0; i < 7; i++) blocks[i] = touched(size);
        for (int i = 0; i < 7; i++) free(blocks[i]);
    }
    pthread_barrier_wait(&parked);
    pause();
    return NULL;
}

int main(int argc, char **argv) {
    int n_threads = argc > 1 ? atoi(argv[1]) : 3;
    pthread_t thread;
    pthread_barrier_init(&parked, NULL, n_threads + 1);
    for (int i = 0; i < n_threads; i++) pthread_create(&thread, NULL, park, NULL);
    pthread_barrier_wait(&parked);
    size_t chunks = 0, bytes = 0;
    for (size_t chunk = 32; chunk <= 1040; chunk += 16) chunks += 7, bytes += 7 * chunk;
    ready("%zu %zu", chunks * n_threads, bytes * n_threads);
    serve_books();
}
