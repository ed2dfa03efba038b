/* Puts itself under a seccomp filter: with the argument `deny` one that ends the program for memfd_create,
 * else one that allows everything. Then keeps blocks when it is told to. */
#include "planted.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int main(int argc, char **argv) {
    unsigned answer = argc > 1 && strcmp(argv[1], "deny") == 0 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return 1;
    void *volatile kept;
    ready("%p", (void *)&kept);
    for (;;) {
        next_command();
        for (int n = 0; n < 100; n++) kept = malloc(7000 + n);
        reply("kept");
    }
}
