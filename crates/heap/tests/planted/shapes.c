/* Heaps that retain memory, by the shape named: what malloc_trim(0) then gives back is predicted. */
static void *blocks[1 << 20];
static pthread_barrier_t filled;

/* Blocks of `size` bytes up to `total`, of which one in `keep` stays (none if 0). */
static size_t holes(size_t total, size_t size, size_t keep, void **at) {
    size_t n = total / size;
    for (size_t i = 0; i < n; i++) at[i] = touched(size);
    for (size_t i = 0; i < n; i++) {
        if (keep == 0 || i % keep != 0) free(at[i]);
    }
    return n;
}

static void *holes_in_thread(void *argument) {
    size_t index = (size_t)argument;
    holes(40 << 20, 3000 + 900 * index, 50, blocks + (index << 16));
    pthread_barrier_wait(&filled);
    pause();
    return NULL;
}

static void *top_in_thread(void *argument) {
    size_t index = (size_t)argument;
    holes(30 << 20, 60000, 0, blocks + (index << 16));
    pthread_barrier_wait(&filled);
    pause();
    return NULL;
}

static void in_threads(void *(*run)(void *)) {
    pthread_t thread;
    pthread_barrier_init(&filled, NULL, 5);
    for (size_t i = 1; i < 5; i++) pthread_create(&thread, NULL, run, (void *)i);
    pthread_barrier_wait(&filled);
}

int main(int argc, char **argv) {
    const char *shape = argc > 1 ? argv[1] : "";
    if (is(shape, "large-holes")) {
        holes(100 << 20, 60000, 10, blocks);
    } else if (is(shape, "small-holes")) {
        holes(60 << 20, 300, 7, blocks);
    } else if (is(shape, "page-holes")) {
        holes(80 << 20, 9000, 2, blocks);
    } else if (is(shape, "top")) {
        /* A mapped block, freed, raises the threshold: the top is then kept. */
        free(touched(30 << 20));
        holes(50 << 20, 60000, 0, blocks);
    } else if (is(shape, "fast")) {
        holes(40 << 20, 100, 997, blocks);
    } else if (is(shape, "fast-to-top")) {
        free(touched(30 << 20));
        holes(40 << 20, 100, 0, blocks);
    } else if (is(shape, "arenas")) {
        in_threads(holes_in_thread);
    } else if (is(shape, "tops")) {
        free(touched(30 << 20));
        in_threads(top_in_thread);
    } else if (is(shape, "realloc")) {
        for (size_t round = 0; round < 6; round++) {
            for (size_t i = 0; i < 3000; i++) {
                size_t size = 100 + next_random(20000);
                memset(blocks[i] = realloc(blocks[i], size), 1, size);
            }
        }
        for (size_t i = 0; i < 3000; i++) {
            if (i % 9 != 0) free(blocks[i]);
        }
    } else if (is(shape, "partly-touched")) {
        for (size_t i = 0; i < 800; i++) memset(blocks[i] = malloc(100000), 1, 10000);
        for (size_t i = 0; i < 800; i++) {
            if (i % 4 != 0) free(blocks[i]);
        }
    }
    ready("%s", "");
    serve_books();
}
