/* Some blocks, from whatever allocator there is. */
#include "planted.h"

int main(void) {
    void *volatile blocks[100];
    for (int i = 0; i < 100; i++) blocks[i] = malloc(100 + i);
    ready("%d", blocks[99] != NULL);
    serve();
}
