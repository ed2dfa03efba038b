// Every function of the family once, with sizes that tell them apart; what is kept is told.

#include "planted.h"
#include <sys/mman.h>

int main(void) {
    ready("%d", 1);
    while (next_command()) {
        char *a = malloc(10001);
        char *b = calloc(3, 10002);
        char *c = realloc(malloc(10003), 20003);
        char *d = realloc(NULL, 10004);
        void *e = NULL;
        if (posix_memalign(&e, 256, 10005) != 0) return 2;
        char *f = aligned_alloc(64, 10048);
        char *g = memalign(128, 10006);
        char *h = valloc(10007);
        char *i = pvalloc(10008);
        char *j = reallocarray(NULL, 2, 10009);
        char *k = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        k = mremap(k, 1 << 20, 3 << 20, MREMAP_MAYMOVE);
        char *gone = malloc(10010);
        free(gone);
        free(realloc(malloc(10011), 0));
        void *impossible = realloc(a, (size_t)1 << 60);
        reply("%p %p %p %p %p %p %p %p %p %p %p %d", a, b, c, d, e, f, g, h, i, j, k, impossible == NULL);
    }
    return 0;
}
