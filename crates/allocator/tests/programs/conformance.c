// Every entry of the malloc interface and its corners, one line each: `name: what happened`.
// Run under two allocators, the outputs are compared. Addresses are never printed.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

// mallinfo is what old programs call.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define MIB (1UL << 20)

// Hides values and pointers from the compiler, which knows malloc and would leave calls out.
static void *opaque(void *value) {
    __asm__ volatile("" : "+r"(value) : : "memory");
    return value;
}
static size_t number(size_t value) {
    __asm__ volatile("" : "+r"(value));
    return value;
}

static const char *name_of(int error) {
    switch (error) {
    case 0: return "0";
    case EINVAL: return "EINVAL";
    case ENOMEM: return "ENOMEM";
    default: return "another";
    }
}

static void say(const char *name, const char *what) { printf("%s: %s\n", name, what); }
static void say_yes(const char *name, int yes) { say(name, yes ? "yes" : "no"); }

static int is_aligned(const void *block, size_t alignment) { return ((uintptr_t)block & (alignment - 1)) == 0; }

static int is_all(const unsigned char *bytes, size_t n, int value) {
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != (unsigned char)value) return 0;
    return 1;
}

// What a call returned and left in errno, which was 0 before it.
#define OUTCOME(name, call)                                                                        \
    do {                                                                                           \
        errno = 0;                                                                                 \
        void *block_ = opaque(call);                                                               \
        printf("%s: %s, errno %s\n", name, block_ ? "a block" : "NULL", name_of(errno));           \
        free(block_);                                                                              \
    } while (0)

static void plain(void) {
    void *zero = opaque(malloc(number(0))), *other = opaque(malloc(number(0)));
    say_yes("malloc(0) gives blocks", zero && other);
    say_yes("malloc(0) gives different ones", zero != other);
    free(zero);
    free(other);
    OUTCOME("malloc(PTRDIFF_MAX + 1)", malloc(number((size_t)PTRDIFF_MAX + 1)));
    OUTCOME("malloc(SIZE_MAX)", malloc(number(SIZE_MAX)));
    OUTCOME("calloc(0, 0)", calloc(number(0), number(0)));
    OUTCOME("calloc(SIZE_MAX, 0)", calloc(number(SIZE_MAX), number(0)));
    OUTCOME("calloc(2, SIZE_MAX / 2 + 1)", calloc(number(2), number(SIZE_MAX / 2 + 1)));
    OUTCOME("calloc(SIZE_MAX, SIZE_MAX)", calloc(number(SIZE_MAX), number(SIZE_MAX)));

    int aligned = 1, aligned_small = 1, writable = 1, enough = 1, zeroed = 1;
    for (size_t size = 1; size < 3 * MIB; size += 1 + size / 7) {
        unsigned char *dirty = malloc(size);
        memset(dirty, 0xff, size);
        free(dirty);
        unsigned char *block = calloc(1, size);
        zeroed &= is_all(block, size, 0);
        size_t usable = malloc_usable_size(block);
        enough &= usable >= size;
        memset(block, 0x5a, usable);
        writable &= is_all(block, usable, 0x5a);
        if (size > 8) aligned &= is_aligned(block, 16);
        else aligned_small &= is_aligned(block, 16);
        free(block);
    }
    say_yes("blocks of more than 8 bytes are aligned to 16", aligned);
    say_yes("blocks of up to 8 bytes are aligned to 16", aligned_small);
    say_yes("calloc zeroes what was dirty", zeroed);
    say_yes("the usable size is enough", enough);
    say_yes("all of it can be written", writable);
    printf("malloc_usable_size(NULL): %zu\n", malloc_usable_size(opaque(NULL)));

    errno = 1234;
    free(opaque(malloc(100)));
    free(opaque(NULL));
    free(opaque(malloc(64 * MIB)));
    say_yes("malloc and free leave errno alone", errno == 1234);
}

static void resized(void) {
    OUTCOME("realloc(NULL, 100)", realloc(opaque(NULL), number(100)));
    OUTCOME("realloc(NULL, 0)", realloc(opaque(NULL), number(0)));
    OUTCOME("realloc(block, 0)", realloc(opaque(malloc(100)), number(0)));
    OUTCOME("reallocarray(NULL, 0, 0)", reallocarray(opaque(NULL), number(0), number(0)));
    OUTCOME("reallocarray(block, 0, 9)", reallocarray(opaque(malloc(100)), number(0), number(9)));
    OUTCOME("reallocarray(NULL, 10, 10)", reallocarray(opaque(NULL), number(10), number(10)));

    unsigned char *block = malloc(1);
    block[0] = 7;
    int kept = 1;
    size_t size = 1;
    while (size < 40 * MIB) {
        size_t before = size;
        size += size / 3 + 1;
        block = realloc(block, size);
        kept &= block[0] == 7 && (before == 1 || block[before - 1] == 9);
        block[size - 1] = 9;
    }
    say_yes("growing keeps the content", kept);
    for (; size > 1; size /= 2) {
        block = realloc(block, size);
        kept &= block[0] == 7;
    }
    say_yes("shrinking keeps the content", kept);
    errno = 0;
    void *failed = realloc(opaque(block), number(SIZE_MAX - 100));
    printf("realloc(block, SIZE_MAX - 100): %s, errno %s, block %s\n", failed ? "a block" : "NULL",
           name_of(errno), block[0] == 7 ? "kept" : "lost");
    errno = 0;
    failed = reallocarray(opaque(block), number(SIZE_MAX / 2), number(3));
    printf("reallocarray(block, SIZE_MAX / 2, 3): %s, errno %s, block %s\n", failed ? "a block" : "NULL",
           name_of(errno), block[0] == 7 ? "kept" : "lost");
    free(block);
}

static void aligned(void) {
    static const size_t alignments[] = {0, 1, 2, 3, 4, 8, 12, 16, 24, 64, 4096, 4097, 1 << 21, SIZE_MAX / 2 + 1};
    static const size_t sizes[] = {0, 1, 100, 5000};
    char name[100];
    for (size_t a = 0; a < sizeof alignments / sizeof *alignments; a++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            size_t alignment = number(alignments[a]), size = number(sizes[s]);
            int power = alignment && !(alignment & (alignment - 1));
            void *unset = (void *)0x123, *block = unset;
            errno = 77;
            int error = posix_memalign(&block, alignment, size);
            printf("posix_memalign(%zu, %zu): %s, errno %s, %s\n", alignment, size, name_of(error),
                   errno == 77 ? "kept" : "changed",
                   error ? (block == unset ? "pointer kept" : "pointer changed")
                         : (is_aligned(block, alignment) ? "aligned" : "not aligned"));
            if (!error) free(block);

            errno = 0;
            block = opaque(aligned_alloc(alignment, size));
            printf("aligned_alloc(%zu, %zu): %s, errno %s, %s\n", alignment, size, block ? "a block" : "NULL",
                   name_of(errno), !block ? "-" : !power || is_aligned(block, alignment) ? "aligned" : "not aligned");
            free(block);
            errno = 0;
            block = opaque(memalign(alignment, size));
            size_t rounded = 1;
            while (rounded < alignment && rounded << 1) rounded <<= 1;
            printf("memalign(%zu, %zu): %s, errno %s, %s\n", alignment, size, block ? "a block" : "NULL",
                   name_of(errno), !block ? "-" : is_aligned(block, rounded) ? "aligned" : "not aligned");
            free(block);
        }
    OUTCOME("memalign(64, SIZE_MAX - 63)", memalign(number(64), number(SIZE_MAX - 63)));
    OUTCOME("aligned_alloc(64, SIZE_MAX)", aligned_alloc(number(64), number(SIZE_MAX)));
    OUTCOME("valloc(SIZE_MAX)", valloc(number(SIZE_MAX)));
    OUTCOME("pvalloc(SIZE_MAX)", pvalloc(number(SIZE_MAX)));
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        void *block = opaque(valloc(number(sizes[s])));
        snprintf(name, sizeof name, "valloc(%zu) is aligned to a page", sizes[s]);
        say_yes(name, block && is_aligned(block, 4096));
        free(block);
        block = opaque(pvalloc(number(sizes[s])));
        snprintf(name, sizeof name, "pvalloc(%zu) is aligned to a page and as large", sizes[s]);
        say_yes(name, block && is_aligned(block, 4096) && malloc_usable_size(block) >= (sizes[s] + 4095) / 4096 * 4096);
        free(block);
    }
    void *moved = opaque(memalign(4096, 100));
    memset(moved, 3, 100);
    moved = realloc(moved, 100000);
    say_yes("realloc keeps what memalign gave", is_all(moved, 100, 3));
    free(moved);
}

static void sized_frees(void) {
    void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    void (*free_aligned_sized)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");
    say("free_sized", free_sized ? "there" : "absent");
    say("free_aligned_sized", free_aligned_sized ? "there" : "absent");
    if (!free_sized || !free_aligned_sized) return;
    for (size_t size = 1; size < MIB; size += size / 5 + 1) {
        free_sized(opaque(malloc(size)), size);
        free_aligned_sized(opaque(aligned_alloc(64, size)), 64, size);
    }
    free_sized(opaque(NULL), 10);
    free_aligned_sized(opaque(NULL), 64, 10);
}

// Some of the blocks may have been free in a cache and yet counted before.
static int grew(size_t before, size_t after, size_t by) { return after >= before + by && after < before + 2 * by; }

static void told(void) {
    struct mallinfo2 before = mallinfo2();
    void *blocks[1000];
    for (int i = 0; i < 1000; i++) blocks[i] = memset(malloc(10000), 1, 10000);
    struct mallinfo2 held = mallinfo2();
    struct mallinfo small = mallinfo();
    for (int i = 0; i < 1000; i++) free(blocks[i]);
    struct mallinfo2 after = mallinfo2();
    say_yes("mallinfo2().uordblks grows by what is allocated", grew(before.uordblks, held.uordblks, 9000000));
    say_yes("mallinfo2().uordblks falls when it is freed", after.uordblks + 9000000 < held.uordblks);
    say_yes("mallinfo2().arena + hblkhd covers it", held.arena + held.hblkhd >= held.uordblks);
    say_yes("mallinfo().uordblks agrees", (size_t)(unsigned)small.uordblks / 100000 == held.uordblks / 100000);

    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    int result = malloc_info(number(0), stream);
    fclose(stream);
    printf("malloc_info(0): %d\n", result);
    say_yes("it writes an element called malloc", strstr(text, "<malloc ") && strstr(text, "</malloc>"));
    say_yes("with the total from the system", strstr(text, "<system type=\"current\" size=") != NULL);
    free(text);
    stream = fopen("/dev/null", "w");
    errno = 0;
    printf("malloc_info(1): %d\n", malloc_info(number(1), stream));
    fclose(stream);
    fflush(stdout);
    malloc_stats();
    say("malloc_stats", "returned");
}

static void tuned(void) {
    static const struct { const char *name; int parameter, value; } settings[] = {
        {"M_MXFAST, 64", M_MXFAST, 64},
        {"M_MXFAST, 100000", M_MXFAST, 100000},
        {"M_TRIM_THRESHOLD, 131072", M_TRIM_THRESHOLD, 131072},
        {"M_TOP_PAD, 131072", M_TOP_PAD, 131072},
        {"M_MMAP_THRESHOLD, 131072", M_MMAP_THRESHOLD, 131072},
        {"M_MMAP_THRESHOLD, INT_MAX", M_MMAP_THRESHOLD, 0x7fffffff},
        {"M_MMAP_MAX, 65536", M_MMAP_MAX, 65536},
        {"M_CHECK_ACTION, 3", M_CHECK_ACTION, 3},
        {"M_PERTURB, 0", M_PERTURB, 0},
        {"M_ARENA_TEST, 2", M_ARENA_TEST, 2},
        {"M_ARENA_MAX, 2", M_ARENA_MAX, 2},
        {"12345, 1", 12345, 1},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        printf("mallopt(%s): %d\n", settings[i].name, mallopt(settings[i].parameter, settings[i].value));
}

static size_t resident(void) {
    size_t total = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%zu %zu", &total, &pages) != 2) return 0;
    fclose(file);
    return pages * 4096;
}

static void trimmed(void) {
    enum { N = 20000 };
    static void *blocks[N];
    for (int i = 0; i < N; i++) blocks[i] = memset(malloc(3000), 1, 3000);
    for (int i = 0; i < N; i++)
        if (i % 100) free(blocks[i]);
    size_t before = resident();
    int released = malloc_trim(0);
    printf("malloc_trim(0) after freeing 60 MB: %d\n", released);
    say_yes("and at least half of it was resident no more", resident() + 30000000 < before);
    for (int i = 0; i < N; i += 100) free(blocks[i]);
}

static void *fill(void *argument) {
    void **blocks = argument;
    for (int i = 0; i < 1000; i++) blocks[i] = memset(malloc(i + 1), i, i + 1);
    return NULL;
}

static void across_threads_and_forks(void) {
    void *blocks[8][1000];
    pthread_t threads[8];
    for (int t = 0; t < 8; t++) pthread_create(&threads[t], NULL, fill, blocks[t]);
    for (int t = 0; t < 8; t++) pthread_join(threads[t], NULL);
    int kept = 1;
    for (int t = 0; t < 8; t++)
        for (int i = 0; i < 1000; i++) {
            kept &= is_all(blocks[t][i], i + 1, i);
            free(blocks[t][i]);
        }
    say_yes("blocks of ended threads are kept and can be freed", kept);

    char *block = strdup("inherited");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int good = strcmp(block, "inherited") == 0;
        free(block);
        char *more = NULL;
        good &= asprintf(&more, "%0*d", 100000, 7) == 100000;
        free(more);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    say_yes("a child uses and frees what it inherited", status == 0);
    free(block);

    // What libc allocates for its callers.
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen("/proc/self/status", "r");
    ssize_t n = getline(&line, &size, file);
    say_yes("getline's buffer can be measured and freed", n > 0 && malloc_usable_size(line) >= size);
    free(line);
    fclose(file);
    char *path = realpath("/proc/self/..", NULL);
    say("realpath", path);
    free(path);
}

int main(void) {
    plain();
    resized();
    aligned();
    sized_frees();
    told();
    tuned();
    trimmed();
    across_threads_and_forks();
    return 0;
}
