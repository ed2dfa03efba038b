/* Blocks of all sizes, most of them freed in no order. Says how many it holds. */
static void *blocks[40000];

int main(void) {
    size_t n = sizeof blocks / sizeof *blocks, held = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) blocks[i] = touched(16 + next_random(i % 10 == 0 ? 20000 : 900));
    for (size_t i = 0; i < n; i++) {
        if (next_random(100) < 60) {
            free(blocks[i]);
            blocks[i] = NULL;
        } else {
            held++;
            bytes += malloc_usable_size(blocks[i]);
        }
    }
    ready("%zu %zu", held, bytes);
    serve_books();
}
