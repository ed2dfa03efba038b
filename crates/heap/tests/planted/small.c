/* A small heap with everything in it: two arenas, free, fast and cached chunks, a mapped one. */
static pthread_barrier_t filled;

static void *fill(void *unused) {
    (void)unused;
    void *blocks[400];
    for (int i = 0; i < 400; i++) blocks[i] = touched(24 + next_random(300));
    for (int i = 0; i < 400; i++) {
        if (i % 3 != 0) free(blocks[i]);
    }
    void *large[12];
    for (int i = 0; i < 12; i++) large[i] = touched(5000);
    for (int i = 0; i < 12; i += 2) free(large[i]);
    pthread_barrier_wait(&filled);
    pause();
    return NULL;
}

int main(void) {
    pthread_t thread;
    pthread_barrier_init(&filled, NULL, 3);
    for (int i = 0; i < 2; i++) pthread_create(&thread, NULL, fill, NULL);
    pthread_barrier_wait(&filled);
    void *blocks[200];
    for (int i = 0; i < 200; i++) blocks[i] = touched(40 + next_random(2000));
    for (int i = 0; i < 200; i += 2) free(blocks[i]);
    void *mapped = touched(200 << 10);
    ready("%d", mapped != NULL);
    serve_books();
}
