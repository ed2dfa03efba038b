// Allocates on a stack of its own, at whose beginning no return address lies.

#include "planted.h"
#include <setjmp.h>

static jmp_buf back;

static void body(void) {
    for (int i = 0; i < 2000; i++) {
        // Volatile, or the compiler leaves both out.
        void *volatile block = malloc((size_t)i % 100 + 1);
        free(block);
    }
    longjmp(back, 1);
}

int main(void) {
    ready("%d", 1);
    while (next_command()) {
        size_t n_bytes = 1 << 18;
        char *stack = aligned_alloc(4096, n_bytes);
        memset(stack, 0, n_bytes);
        if (!setjmp(back))
            __asm__ volatile("mov %0, %%rsp\n push $0\n jmp *%1" ::"r"(stack + n_bytes), "r"(body));
        reply("%d", 2000);
    }
    return 0;
}
