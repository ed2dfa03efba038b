// Sixteen threads allocate and free for ever. Each command `KIND N` makes N children of that kind, which
// allocate as well where that is allowed, and tells how they ended.

#include "planted.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { THREADS = 16, SLOTS = 64, HANG_SECONDS = 10 };

extern char **environ;

static void churn_once(void **slots, unsigned *seed) {
    *seed = *seed * 1664525 + 1013904223;
    unsigned slot = (*seed >> 8) % SLOTS;
    size_t size = 1u << (4 + (*seed >> 16) % 14);
    free(slots[slot]);
    slots[slot] = malloc(size + (*seed >> 24));
    memset(slots[slot], 1, size);
}

static void *churn(void *argument) {
    unsigned seed = (unsigned)(uintptr_t)argument;
    void *slots[SLOTS] = {0};
    // With a breath now and then: on two processors sixteen threads that never wait leave a fork no turn.
    for (struct timespec breath = {0, 200000};; nanosleep(&breath, NULL))
        for (int i = 0; i < SLOTS; i++) churn_once(slots, &seed);
}

static void *a_little(void *argument) {
    unsigned seed = 7;
    void *slots[SLOTS] = {0};
    for (int i = 0; i < 200; i++) churn_once(slots, &seed);
    for (int i = 0; i < SLOTS; i++) free(slots[i]);
    return argument;
}

static int ends_well(pid_t child) {
    // SIGCHLD is blocked: it is taken by waiting for it, and so is its absence.
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    struct timespec end, now;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += HANG_SECONDS;
    for (;;) {
        int status;
        if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec >= end.tv_sec) {
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
            return -1;
        }
        struct timespec patience = {1, 0};
        sigtimedwait(&set, NULL, &patience);
    }
}

static void child(void) {
    a_little(NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, a_little, NULL) != 0) _exit(2);
    pthread_join(thread, NULL);
    _exit(malloc_trim(0) < 0);
}

static pid_t make(const char *kind) {
    pid_t pid = -1;
    if (strcmp(kind, "fork") == 0) {
        pid = fork();
        if (pid == 0) child();
    } else if (strcmp(kind, "twice") == 0) {
        pid = fork();
        if (pid == 0) {
            pid_t grandchild = fork();
            if (grandchild == 0) child();
            int status = 1;
            waitpid(grandchild, &status, 0);
            _exit(status != 0);
        }
    } else if (strcmp(kind, "vfork") == 0) {
        pid = vfork();
        if (pid == 0) {
            execl("/bin/true", "true", NULL);
            _exit(3);
        }
    } else if (strcmp(kind, "spawn") == 0) {
        char *arguments[] = {"true", NULL};
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) != 0) pid = -1;
    } else if (strcmp(kind, "clone") == 0) {
        // No handler of anybody runs: such a child may only use system calls.
        pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0) {
            syscall(SYS_getpid);
            execl("/bin/true", "true", NULL);
            syscall(SYS_exit_group, 3);
        }
    }
    return pid;
}

int main(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_t thread;
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, churn, (void *)(i + 1)) != 0) return 2;
    ready("%d", THREADS);
    const char *command;
    while ((command = next_command())) {
        char kind[20];
        unsigned n = 0, well = 0, failed = 0, hung = 0;
        if (sscanf(command, "%19s %u", kind, &n) != 2) return 2;
        for (unsigned i = 0; i < n && hung < 3; i++) {
            pid_t pid = make(kind);
            int end = pid > 0 ? ends_well(pid) : 0;
            well += end > 0;
            failed += end == 0;
            hung += end < 0;
        }
        reply("%u well, %u failed, %u hung", well, failed, hung);
    }
    return 0;
}
