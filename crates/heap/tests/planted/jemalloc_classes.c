/* Says how many small classes jemalloc has, and the size of each. */
#include <stdio.h>

int main(void) {
    static char text[4096];
    unsigned count = 0;
    size_t length = sizeof count;
    mallctl("arenas.nbins", &count, &length, NULL, 0);
    int at = snprintf(text, sizeof text, "%u", count);
    for (unsigned bin = 0; bin < count; bin++) {
        char name[64];
        snprintf(name, sizeof name, "arenas.bin.%u.size", bin);
        at += snprintf(text + at, sizeof text - at, " %zu", figure(name));
    }
    ready("%s", text);
    serve_books();
}
