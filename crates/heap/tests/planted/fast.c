/* Small blocks freed in a random order: far more than a thread's cache takes, so that they go to
 * the fast bins. Some stay, so that free and fast chunks lie side by side. */
static void *small[30000], *large[300];

int main(void) {
    size_t n = sizeof small / sizeof *small;
    for (size_t i = 0; i < n; i++) {
        small[i] = touched(24 + 16 * next_random(6));
        if (i % 100 == 0) large[i / 100] = touched(3000);
    }
    for (size_t i = 0; i < 300; i += 2) free(large[i]);
    for (size_t i = 0; i < n; i++) {
        size_t k = next_random(n);
        if (k % 50 != 0) {
            free(small[k]);
            small[k] = NULL;
        }
    }
    ready("%s", "");
    serve_books();
}
