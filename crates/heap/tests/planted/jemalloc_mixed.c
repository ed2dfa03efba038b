/* Blocks of all sizes, from 1 byte to 40 MiB, two of three freed again. Says how many are left, and
 * their usable bytes. */
enum { BLOCKS = 20000 };
static void *blocks[BLOCKS];

int main(void) {
    size_t count = 0, bytes = 0;
    for (int i = 0; i < BLOCKS; i++) {
        uint32_t kind = next_random(1000);
        size_t size = kind < 900   ? 1 + next_random(1024)
                      : kind < 990 ? 1 + next_random(32 << 10)
                      : kind < 999 ? 1 + next_random(256 << 10)
                                   : 1 + next_random(4 << 20);
        blocks[i] = touched(size);
    }
    void *huge = touched(40 << 20);
    for (int i = 0; i < BLOCKS; i++) {
        if (next_random(3) != 0) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
    }
    for (int i = 0; i < BLOCKS; i++) {
        if (blocks[i] != NULL) count++, bytes += malloc_usable_size(blocks[i]);
    }
    count++, bytes += malloc_usable_size(huge);
    ready("%lu %lu", count, bytes);
    serve_books();
}
