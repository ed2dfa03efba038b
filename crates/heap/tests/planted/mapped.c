/* Blocks with a map of their own: plain, grown, aligned, freed. Says how many are left. */
int main(void) {
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    void *blocks[12];
    for (size_t i = 0; i < 12; i++) blocks[i] = touched((200 + 37 * i) << 10);
    for (size_t i = 0; i < 12; i += 4) free(blocks[i]);
    blocks[1] = realloc(blocks[1], 3 << 20);
    blocks[2] = realloc(blocks[2], 150 << 10);
    void *volatile aligned[3] = {aligned_alloc(64, 512 << 10), aligned_alloc(65536, 512 << 10), memalign(4096, 300 << 10)};
    void *sparse = malloc(8 << 20);
    memset(aligned[1], 1, 1000);
    memset(sparse, 1, 1);
    ready("%d", 13);
    serve_books();
}
