/* Threads that allocate and free flat out, of every kind, handing some blocks to each other. */
#include <pthread.h>

static void *_Atomic exchange[256];
static _Atomic size_t at_work;

static void *churn(void *argument) {
    uint32_t state = (uint32_t)(size_t)argument * 2654435761u + 1;
    void *mine[512] = {0};
    for (size_t turn = 0;; turn++) {
        // As many blocks as it ever has, more or less.
        if (turn == 16 * 512) at_work++;
        state = state * 1664525 + 1013904223;
        uint32_t kind = (state >> 4) % 64;
        size_t slot = (state >> 8) % 512;
        size_t size = 16 + (state >> 12) % (kind == 0 ? 400000 : kind < 4 ? 30000 : 600);
        free(mine[slot]);
        mine[slot] = malloc(size);
        memset(mine[slot], 0x55, size);
        if (slot % 8 == 0) mine[slot] = __atomic_exchange_n(&exchange[(state >> 20) % 256], mine[slot], __ATOMIC_ACQ_REL);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t thread;
    size_t threads = argc > 1 ? atoi(argv[1]) : 8;
    for (size_t i = 0; i < threads; i++) pthread_create(&thread, NULL, churn, (void *)(i + 1));
    while (at_work < threads) usleep(1000);
    ready("%s", "");
    serve_books();
}
