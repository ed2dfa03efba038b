/* Another user of the program break: it takes memory between two growths of the heap. */
int main(void) {
    void *blocks[600];
    for (int i = 0; i < 200; i++) blocks[i] = touched(2000);
    memset(sbrk(100000), 0x55, 100000);
    for (int i = 200; i < 400; i++) blocks[i] = touched(2000);
    memset(sbrk(40), 0x55, 40);
    for (int i = 400; i < 600; i++) blocks[i] = touched(2000);
    for (int i = 0; i < 600; i += 2) free(blocks[i]);
    ready("%s", "");
    serve_books();
}
