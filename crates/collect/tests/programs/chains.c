// Known chains of calls, each ending in an allocation. The runtime's own unwinder tells the chain just before:
// return addresses within their files, outermost last.

#include "planted.h"
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <unwind.h>

#define OUTLINE __attribute__((noinline, noclone, optimize("no-optimize-sibling-calls")))

static char told[60000];
static size_t n_told;
static void *volatile block;

static void tell_char(char c) {
    if (n_told < sizeof told - 1) told[n_told++] = c;
}

static void tell_hex(uintptr_t value) {
    char digits[16];
    int n = 0;
    do digits[n++] = "0123456789abcdef"[value % 16];
    while ((value /= 16) != 0);
    while (n > 0) tell_char(digits[--n]);
}

static _Unwind_Reason_Code tell_frame(struct _Unwind_Context *context, void *unused) {
    (void)unused;
    int is_interrupted = 0;
    uintptr_t pc = _Unwind_GetIPInfo(context, &is_interrupted);
    Dl_info info;
    struct link_map *file;
    if (pc == 0 || !dladdr1((void *)pc, &info, (void **)&file, RTLD_DL_LINKMAP)) return _URC_NO_REASON;
    const char *name = strrchr(info.dli_fname, '/');
    tell_hex(pc - file->l_addr - !is_interrupted);
    tell_char('@');
    for (name = name ? name + 1 : info.dli_fname; *name; name++) tell_char(*name);
    tell_char(' ');
    return _URC_NO_REASON;
}

static OUTLINE void allocate(void) {
    n_told = 0;
    _Unwind_Backtrace(tell_frame, NULL);
    block = malloc(7001);
}

static OUTLINE int plain(int n) {
    if (n > 0) return plain(n - 1) + 1;
    allocate();
    return 0;
}

static OUTLINE int with_alloca(size_t n) {
    volatile char *place = __builtin_alloca(n);
    place[0] = 1;
    allocate();
    return place[0];
}

static OUTLINE int large_frame(int n) {
    volatile char place[300000];
    place[n] = 1;
    allocate();
    return place[n];
}

static OUTLINE int aligned_frame(size_t n) {
    volatile char place[64] __attribute__((aligned(64)));
    volatile char *more = __builtin_alloca(n);
    place[n % 64] = more[0] = 1;
    allocate();
    return place[0] + more[0];
}

static OUTLINE int saved_registers(int a, int b, int c, int d, int e, int f) {
    int sum = a * b + plain(a) * c;
    sum += d * plain(b) - e;
    allocate();
    return sum + a + b + c + d + e + f;
}

static __attribute__((noinline, noclone)) int tail(int n) {
    if (n > 100) return 5;
    return plain(n);
}

static int compare(const void *one, const void *other) {
    if (block == NULL) allocate();
    return *(const char *)one - *(const char *)other;
}

static void handler(int number) {
    (void)number;
    allocate();
}

static OUTLINE int interrupted(void) {
    raise(SIGUSR1);
    return 1;
}

static OUTLINE __attribute__((noreturn)) void leave(jmp_buf *back) {
    allocate();
    longjmp(*back, 1);
}

static OUTLINE int never_returns(void) {
    jmp_buf back;
    if (setjmp(back) == 0) leave(&back);
    return 2;
}

static void *thread(void *unused) {
    plain(3);
    return unused;
}

int main(void) {
    static char alternative[1 << 16];
    stack_t stack = {.ss_sp = alternative, .ss_size = sizeof alternative};
    struct sigaction action = {.sa_handler = handler};
    ready("%d", 1);
    const char *command;
    while ((command = next_command())) {
        int sum = 0;
        block = NULL;
        if (is(command, "plain")) sum += plain(5);
        if (is(command, "deep")) sum += plain(600);
        if (is(command, "alloca")) sum += with_alloca(strlen(command) * 100);
        if (is(command, "large")) sum += large_frame((int)strlen(command));
        if (is(command, "aligned")) sum += aligned_frame(strlen(command) * 10);
        if (is(command, "saved")) sum += saved_registers(1, 2, 3, 4, 5, (int)strlen(command));
        if (is(command, "tail")) sum += tail(3);
        if (is(command, "noreturn")) sum += never_returns();
        if (is(command, "callback")) {
            char letters[] = "slackwater";
            qsort(letters, sizeof letters - 1, 1, compare);
        }
        if (is(command, "signal")) {
            action.sa_flags = 0;
            sigaction(SIGUSR1, &action, NULL);
            sum += interrupted();
        }
        if (is(command, "altstack")) {
            sigaltstack(&stack, NULL);
            action.sa_flags = SA_ONSTACK;
            sigaction(SIGUSR1, &action, NULL);
            sum += interrupted();
        }
        if (is(command, "thread")) {
            pthread_t id;
            pthread_create(&id, NULL, thread, NULL);
            pthread_join(id, NULL);
        }
        told[n_told] = 0;
        reply("%lx %d %s", (unsigned long)(uintptr_t)block, sum, told);
    }
    return 0;
}
