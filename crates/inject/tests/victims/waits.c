/* Waits in the way its commands name, on standard input where that is possible, and reports how the
 * wait ended and whether its signal mask and alternate stack are as they were. */
#include "planted.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

/* Since glibc 2.30. It leaves no frame: it ends by a jump to the function that waits. */
extern int sem_clockwait(sem_t *, clockid_t, const struct timespec *) __attribute__((weak));

static char alternate[32768];

static struct timespec in_milliseconds(clockid_t clock, long milliseconds) {
    struct timespec at;
    clock_gettime(clock, &at);
    at.tv_nsec += milliseconds * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

static long wait_for(const char *how) {
    struct pollfd input = {0, POLLIN, 0};
    struct epoll_event event = {EPOLLIN, {0}};
    struct timeval minute = {60, 0};
    struct timespec minute_too = {60, 0};
    sigset_t other;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(0, &set);
    sigemptyset(&other);
    sigaddset(&other, SIGWINCH);
    if (is(how, "poll")) return poll(&input, 1, -1);
    if (is(how, "poll_timeout")) return poll(&input, 1, 60000);
    if (is(how, "ppoll_mask")) return ppoll(&input, 1, &minute_too, &other);
    if (is(how, "select")) return select(1, &set, NULL, NULL, NULL);
    if (is(how, "select_timeout")) return select(1, &set, NULL, NULL, &minute);
    if (is(how, "pselect_mask")) return pselect(1, &set, NULL, NULL, NULL, &other);
    if (is(how, "epoll") || is(how, "epoll_timeout") || is(how, "epoll_mask")) {
        int queue = epoll_create1(0);
        epoll_ctl(queue, EPOLL_CTL_ADD, 0, &event);
        errno = 0;
        long result = is(how, "epoll")           ? epoll_wait(queue, &event, 1, -1)
                      : is(how, "epoll_timeout") ? epoll_wait(queue, &event, 1, 60000)
                                                 : epoll_pwait(queue, &event, 1, -1, &other);
        int error = errno;
        close(queue);
        errno = error;
        return result;
    }
    if (is(how, "accept")) {
        struct sockaddr_un address = {AF_UNIX, ""};
        int n = snprintf(address.sun_path + 1, 64, "slackwater-waits-%d", getpid());
        int listener = socket(AF_UNIX, SOCK_STREAM, 0);
        bind(listener, (void *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + n);
        listen(listener, 1);
        reply("waiting");
        errno = 0;
        int connection = accept(listener, NULL, NULL), error = errno;
        close(connection);
        close(listener);
        errno = error;
        return connection >= 0;
    }
    if (is(how, "nanosleep")) {
        struct timespec short_time = {0, 100000000};
        return nanosleep(&short_time, &short_time);
    }
    if (is(how, "sleep_until")) {
        struct timespec until = in_milliseconds(CLOCK_MONOTONIC, 200);
        return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    if (is(how, "semaphore")) {
        struct timespec until = in_milliseconds(CLOCK_REALTIME, 200);
        sem_t semaphore;
        sem_init(&semaphore, 0, 0);
        return sem_timedwait(&semaphore, &until) == -1 && errno == ETIMEDOUT ? (errno = 0) : -2;
    }
    if (is(how, "semaphore_by_clock")) {
        /* Long: nothing else is waited for. */
        struct timespec until = in_milliseconds(CLOCK_MONOTONIC, 3000);
        sem_t semaphore;
        sem_init(&semaphore, 0, 0);
        if (!sem_clockwait) return 0;
        return sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until) == -1 && errno == ETIMEDOUT ? (errno = 0) : -2;
    }
    if (is(how, "condition")) {
        static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
        struct timespec until = in_milliseconds(CLOCK_REALTIME, 200);
        pthread_mutex_lock(&mutex);
        int result = pthread_cond_timedwait(&condition, &mutex, &until);
        pthread_mutex_unlock(&mutex);
        return result == ETIMEDOUT ? 0 : -2;
    }
    if (is(how, "sigtimedwait")) {
        struct timespec short_time = {0, 100000000};
        return sigtimedwait(&other, NULL, &short_time) == -1 && errno == EAGAIN ? (errno = 0) : -2;
    }
    return -3;
}

int main(void) {
    stack_t stack = {alternate, 0, sizeof alternate}, stack_after;
    sigset_t mask, mask_after;
    sigaltstack(&stack, NULL);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    ready("%d", getpid());
    for (const char *how; (how = next_command()) != NULL;) {
        if (is(how, "wake")) continue;
        if (!is(how, "accept")) reply("waiting");
        errno = 0;
        long result = wait_for(how);
        int error = errno;
        sigprocmask(SIG_BLOCK, NULL, &mask_after);
        sigaltstack(NULL, &stack_after);
        reply("%ld %d %d %d", result, error, memcmp(&mask, &mask_after, 8) == 0,
              stack_after.ss_sp == stack.ss_sp && stack_after.ss_size == stack.ss_size &&
                  stack_after.ss_flags == stack.ss_flags);
    }
}
