// A timer interrupts allocations two thousand times a second; its handler allocates too (the program's own
// risk, taken with a malloc of its own below the agent's hooks: mmap), and leaves by siglongjmp.

#include "planted.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/time.h>

static sigjmp_buf back;
static volatile sig_atomic_t jumping, n_signals;

static void handler(int number) {
    (void)number;
    n_signals++;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) munmap(page, 4096);
    if (jumping) siglongjmp(back, 1);
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_NODEFER};
    sigaction(SIGALRM, &action, NULL);
    ready("%d", 1);
    while (next_command()) {
        struct itimerval timer = {{0, 500}, {0, 500}};
        setitimer(ITIMER_REAL, &timer, NULL);
        unsigned wrong = 0;
        // Mappings only, where a jump out of the middle leaves nothing of libc behind.
        for (unsigned i = 0; i < 20000; i++) {
            if (sigsetjmp(back, 1) == 0) {
                jumping = 1;
                errno = 77;
                void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                munmap(page, 4096);
                if (errno != 77) wrong++;
            }
            jumping = 0;
        }
        struct itimerval none = {{0, 0}, {0, 0}};
        setitimer(ITIMER_REAL, &none, NULL);
        void *after = malloc(123456);
        errno = 77;
        free(after);
        if (errno != 77) wrong++;
        void *last = malloc(654321);
        reply("%u %d %p", wrong, n_signals > 0, last);
    }
    return 0;
}
