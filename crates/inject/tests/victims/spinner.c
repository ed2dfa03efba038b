/* Spins with a known value in every register and in the red zone, until `stop` is set from outside;
 * then stores them all and compares. With an argument, a timer interrupts it a thousand times a second. */
#include "planted.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

volatile unsigned long counter, alarms;
volatile int stop;
unsigned char vectors[16][32], vectors_after[16][32];
unsigned long general_after[14], red_zone_after[15];
unsigned int control = 0x5f80, control_after;
unsigned short x87_control = 0x0a7f, x87_control_after;
double pi = 3.25, pi_after;
void spin(void);

/* Every register holds 0x1111..., 0x2222..., and so on; the loop itself uses none. */
__asm__(
    ".globl spin\n.type spin, @function\nspin:\n.cfi_startproc\n"
    "push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbx, 0\n"
    "push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbp, 0\n"
    "push %r12\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r12, 0\n"
    "push %r13\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r13, 0\n"
    "push %r14\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r14, 0\n"
    "push %r15\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r15, 0\n"
    "ldmxcsr control(%rip)\nfldcw x87_control(%rip)\nfldl pi(%rip)\n"
    "lea vectors(%rip), %rax\n"
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nvmovdqu 32*\\n(%rax), %ymm\\n\n.endr\n"
    "mov $0x0101010101010101, %rax\n"
    ".irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nmov %rax, -8*\\n(%rsp)\nadd %rax, -8*\\n(%rsp)\n.endr\n"
    "mov $0x1111111111111111, %rax\nmov $0x2222222222222222, %rbx\nmov $0x3333333333333333, %rcx\n"
    "mov $0x4444444444444444, %rdx\nmov $0x5555555555555555, %rsi\nmov $0x6666666666666666, %rdi\n"
    "mov $0x7777777777777777, %rbp\nmov $0x8888888888888888, %r8\nmov $0x9999999999999999, %r9\n"
    "mov $0xaaaaaaaaaaaaaaaa, %r10\nmov $0xbbbbbbbbbbbbbbbb, %r11\nmov $0xcccccccccccccccc, %r12\n"
    "mov $0xdddddddddddddddd, %r13\nmov $0xeeeeeeeeeeeeeeee, %r14\nmov $0xffffffffffffffff, %r15\n"
    "1: incq counter(%rip)\ncmpl $0, stop(%rip)\nje 1b\n"
    "mov %rax, general_after(%rip)\nmov %rbx, general_after+8(%rip)\nmov %rcx, general_after+16(%rip)\n"
    "mov %rdx, general_after+24(%rip)\nmov %rsi, general_after+32(%rip)\nmov %rdi, general_after+40(%rip)\n"
    "mov %rbp, general_after+48(%rip)\nmov %r8, general_after+56(%rip)\nmov %r9, general_after+64(%rip)\n"
    "mov %r10, general_after+72(%rip)\nmov %r11, general_after+80(%rip)\nmov %r12, general_after+88(%rip)\n"
    "mov %r13, general_after+96(%rip)\nmov %r14, general_after+104(%rip)\n"
    "lea vectors_after(%rip), %rax\n"
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nvmovdqu %ymm\\n, 32*\\n(%rax)\n.endr\n"
    "lea red_zone_after(%rip), %rax\n"
    ".irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nmov -8*\\n(%rsp), %rcx\nmov %rcx, 8*\\n-8(%rax)\n.endr\n"
    "stmxcsr control_after(%rip)\nfnstcw x87_control_after(%rip)\nfstpl pi_after(%rip)\n"
    "vzeroupper\nfninit\nmovl $0x1f80, -4(%rsp)\nldmxcsr -4(%rsp)\n"
    "pop %r15\n.cfi_adjust_cfa_offset -8\npop %r14\n.cfi_adjust_cfa_offset -8\npop %r13\n.cfi_adjust_cfa_offset -8\n"
    "pop %r12\n.cfi_adjust_cfa_offset -8\npop %rbp\n.cfi_adjust_cfa_offset -8\npop %rbx\n.cfi_adjust_cfa_offset -8\n"
    "ret\n.cfi_endproc\n.size spin, .-spin\n");

static void on_alarm(int signal) {
    (void)signal;
    alarms++;
}

int main(int argc, char **argv) {
    (void)argv;
    for (int i = 0; i < 16; i++) memset(vectors[i], 0x30 + i, 32);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, 1000}, {0, 1000}};
    sigaction(SIGALRM, &action, NULL);
    ready("%p %p %p", &counter, &stop, &alarms);
    while (next_command() != NULL) {
        stop = 0;
        errno = 12345;
        if (argc > 1) setitimer(ITIMER_REAL, &every, NULL);
        spin();
        int error = errno;
        memset(&every, 0, sizeof every);
        if (argc > 1) setitimer(ITIMER_REAL, &every, NULL);
        int wrong = memcmp(vectors, vectors_after, sizeof vectors) != 0;
        for (int i = 0; i < 14; i++) wrong |= 2 * (general_after[i] != 0x1111111111111111ul * (i + 1));
        for (int i = 0; i < 15; i++) wrong |= 4 * (red_zone_after[i] != 0x0202020202020202ul);
        wrong |= 8 * (control_after != control) | 16 * (x87_control_after != x87_control) | 32 * (pi_after != pi);
        wrong |= 64 * (error != 12345);
        reply("%d %lu", wrong, alarms);
    }
}
