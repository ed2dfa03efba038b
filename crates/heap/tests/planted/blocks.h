/* What planted programs fill their heaps with. */
#include "planted.h"

/* A sequence that is the same in every run. */
static uint32_t seed = 12345;
__attribute__((unused)) static uint32_t next_random(uint32_t limit) {
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)seed * limit) >> 32);
}

/* A block whose pages are all touched. */
__attribute__((unused)) static void *touched(size_t size) {
    void *block = malloc(size);
    if (block == NULL) _exit(4);
    return memset(block, 0x55, size);
}
