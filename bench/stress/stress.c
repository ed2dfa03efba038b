// Work for an allocator, and nothing else: `stress KIND THREADS UNITS` does a fixed amount of it.
//
//   larson   threads replace random blocks of a table, and hand the table on to a new thread (servers)
//   pass     blocks are allocated by one thread and freed by another (pipelines)
//   realloc  blocks grow by halves and shrink again (buffers)
//   mixed    structures of linked blocks of all sizes, some shared between threads (mimalloc's stress)
//   small    batches of small blocks, freed in another order (parsers)

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int n_threads;
static long n_units;

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

// Small sizes are frequent, large ones rare.
static size_t a_size(uint64_t *state) {
    uint64_t random = next_random(state);
    unsigned shift = 4 + (random & 7) + ((random >> 8) % 50 == 0 ? 6 : 0);
    return ((size_t)1 << shift) + (random >> 16) % ((size_t)1 << shift);
}

// Writes where a program would: at both ends.
static char *take(size_t size) {
    char *block = malloc(size);
    if (!block) abort();
    block[0] = 1;
    block[size - 1] = 2;
    return block;
}

static void start(pthread_t *thread, void *(*work)(void *), void *argument) {
    if (pthread_create(thread, NULL, work, argument) != 0) abort();
}

static void in_threads(void *(*work)(void *)) {
    pthread_t threads[n_threads];
    for (intptr_t t = 0; t < n_threads; t++) start(&threads[t], work, (void *)(t + 1));
    for (int t = 0; t < n_threads; t++) pthread_join(threads[t], NULL);
}

enum { TABLE = 5000, LIVES = 10 };

struct table {
    char *blocks[TABLE];
    uint64_t random;
    int lives;
};

static void *larson(void *argument) {
    struct table *table = argument;
    for (long i = 0; i < n_units / LIVES; i++) {
        size_t slot = next_random(&table->random) % TABLE;
        free(table->blocks[slot]);
        table->blocks[slot] = take(a_size(&table->random));
    }
    if (--table->lives > 0) {
        pthread_t heir;
        start(&heir, larson, table);
        pthread_join(heir, NULL);
    }
    return NULL;
}

static void *larson_line(void *argument) {
    struct table *table = calloc(1, sizeof *table);
    table->random = (uintptr_t)argument * 0x9e3779b97f4a7c15;
    table->lives = LIVES;
    larson(table);
    for (int i = 0; i < TABLE; i++) free(table->blocks[i]);
    free(table);
    return NULL;
}

enum { RING = 1024, BATCH = 64 };

struct ring {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    char *blocks[RING];
    long put, got;
};

static void *produce(void *argument) {
    struct ring *ring = argument;
    uint64_t random = 88172645463325252ull;
    for (long done = 0; done < n_units; done += BATCH) {
        char *batch[BATCH];
        for (int i = 0; i < BATCH; i++) batch[i] = take(a_size(&random));
        pthread_mutex_lock(&ring->lock);
        while (ring->put - ring->got > RING - BATCH) pthread_cond_wait(&ring->moved, &ring->lock);
        for (int i = 0; i < BATCH; i++) ring->blocks[ring->put++ % RING] = batch[i];
        pthread_cond_broadcast(&ring->moved);
        pthread_mutex_unlock(&ring->lock);
    }
    return NULL;
}

static void *consume(void *argument) {
    struct ring *ring = argument;
    for (long done = 0; done < n_units; done += BATCH) {
        char *batch[BATCH];
        pthread_mutex_lock(&ring->lock);
        while (ring->put - ring->got < BATCH) pthread_cond_wait(&ring->moved, &ring->lock);
        for (int i = 0; i < BATCH; i++) batch[i] = ring->blocks[ring->got++ % RING];
        pthread_cond_broadcast(&ring->moved);
        pthread_mutex_unlock(&ring->lock);
        for (int i = 0; i < BATCH; i++) free(batch[i]);
    }
    return NULL;
}

static void *pass_pair(void *argument) {
    (void)argument;
    struct ring *ring = calloc(1, sizeof *ring);
    pthread_mutex_init(&ring->lock, NULL);
    pthread_cond_init(&ring->moved, NULL);
    pthread_t other;
    start(&other, consume, ring);
    produce(ring);
    pthread_join(other, NULL);
    free(ring);
    return NULL;
}

static void *grow(void *argument) {
    uint64_t random = (uintptr_t)argument * 0x9e3779b97f4a7c15;
    char *buffers[32] = {0};
    size_t sizes[32] = {0};
    for (long i = 0; i < n_units; i++) {
        int b = next_random(&random) % 32;
        size_t size = sizes[b] + sizes[b] / 2 + 16;
        if (size > 1 << 19) size = 16;
        buffers[b] = realloc(buffers[b], size);
        if (!buffers[b]) abort();
        buffers[b][size - 1] = 1;
        sizes[b] = size;
    }
    for (int b = 0; b < 32; b++) free(buffers[b]);
    return NULL;
}

enum { SHARED = 1000 };
static void *shared[SHARED];

static void *mix(void *argument) {
    uint64_t random = (uintptr_t)argument * 0x9e3779b97f4a7c15;
    enum { KEPT = 2000 };
    char **kept = calloc(KEPT, sizeof *kept);
    for (long i = 0; i < n_units; i++) {
        uint64_t draw = next_random(&random);
        char *block = take(a_size(&random));
        if (draw % 8 == 0) {
            // Given away: whoever finds it frees it.
            block = __atomic_exchange_n(&shared[(draw >> 8) % SHARED], block, __ATOMIC_ACQ_REL);
            free(block);
        } else if (draw % 8 < 4) {
            char **slot = &kept[(draw >> 8) % KEPT];
            free(*slot);
            *slot = block;
        } else {
            free(block);
        }
    }
    for (int k = 0; k < KEPT; k++) free(kept[k]);
    free(kept);
    return NULL;
}

static void *batches(void *argument) {
    uint64_t random = (uintptr_t)argument * 0x9e3779b97f4a7c15;
    enum { N = 1000 };
    char *blocks[N];
    for (long i = 0; i < n_units; i += N) {
        for (int b = 0; b < N; b++) blocks[b] = take(8 + next_random(&random) % 200);
        for (int b = 0; b < N; b += 2) free(blocks[b]);
        for (int b = N - 1; b > 0; b -= 2) free(blocks[b]);
    }
    return NULL;
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void *(*work)(void *);
    } kinds[] = {{"larson", larson_line}, {"pass", pass_pair}, {"realloc", grow}, {"mixed", mix}, {"small", batches}};
    if (count != 4) return 2;
    n_threads = atoi(arguments[2]);
    n_units = atol(arguments[3]);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (strcmp(arguments[1], kinds[k].name) == 0) {
            in_threads(kinds[k].work);
            for (int i = 0; i < SHARED; i++) free(shared[i]);
            return 0;
        }
    return 2;
}
