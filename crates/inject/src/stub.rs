//! The only code of ours that ever runs inside a target: it gives back the ends of arenas.
//!
//! It is written to a page of its own, called once, and unmapped by the step after it. `malloc_trim`
//! never visits the end ("top") of a secondary arena; this does what it would do there:
//!
//! ```text
//! for each arena { lock, top field, start and end of the heap that top lies in }:
//!     take the lock if it is free, else try again for some 100 us, else skip
//!     read top and its size; skip unless top lies in the heap and ends where the heap ends now
//!     madvise(whole pages behind top's header, MADV_DONTNEED)
//!     let the lock go, and wake a thread that waits for it
//! ```
//!
//! Invariants: it never blocks; it holds at most one lock, and across no system call but `madvise`; it
//! makes no system call that the allocator does not make itself. It reads the heap's header only after
//! the arena, under its lock, has named a top inside that heap, so the heap is mapped. It uses no stack
//! but five pushes, no libc, and no address of its own, so it runs wherever it is put.
#![allow(unsafe_code)]

use std::arch::global_asm;

// rdi = table of four words per entry, rsi = number of entries; returns the number of arenas given back.
//
// glibc's low-level lock is an int: 0 free, 1 taken, 2 taken and waited for; the waiter sleeps in a
// private futex on it (sysdeps/nptl/lowlevellock.h). A heap's header holds its length in use at
// offset 16 (struct _heap_info in malloc/arena.c), a chunk its size at 8, flags in the low three
// bits (malloc/malloc.c). All three are the same in every glibc from 2.17 to 2.43.
global_asm!(
    ".pushsection .text.slackwater_release_tops, \"ax\"",
    ".balign 16",
    // Visible to the whole program, since link-time optimisation may put their users elsewhere.
    ".globl slackwater_release_tops",
    ".hidden slackwater_release_tops",
    ".globl slackwater_release_tops_end",
    ".hidden slackwater_release_tops_end",
    "slackwater_release_tops:",
    "    push rbx",
    "    push rbp",
    "    push r12",
    "    push r13",
    "    push r14",
    "    mov rbx, rdi",   // the entry
    "    mov rbp, rsi",   // entries left
    "    xor r12d, r12d", // arenas given back
    "2:  test rbp, rbp",
    "    jz 9f",
    "    mov r13, [rbx]", // its lock
    "    mov r14d, 64",   // attempts left
    "3:  xor eax, eax",
    "    mov ecx, 1",
    "    lock cmpxchg dword ptr [r13], ecx", // 0 becomes 1, or nothing happens
    "    je 4f",
    "    dec r14d",
    "    jz 8f",
    "    pause",
    "    jmp 3b",
    "4:  mov rdx, [rbx + 8]",
    "    mov rdx, [rdx]",      // top
    "    mov rcx, [rbx + 16]", // the heap's header
    "    cmp rdx, rcx",
    "    jbe 7f",
    "    cmp rdx, [rbx + 24]",
    "    jae 7f",
    "    mov rax, [rdx + 8]",
    "    and rax, -8",
    "    add rax, rdx",        // where top ends
    "    add rcx, [rcx + 16]", // where the heap ends
    "    cmp rax, rcx",
    "    jne 7f",
    "    lea rdi, [rdx + 32 + 4095]", // behind the smallest chunk, at a page
    "    and rdi, -4096",
    "    mov rsi, rax",
    "    and rsi, -4096",
    "    sub rsi, rdi",
    "    jbe 7f",      // not a whole page
    "    mov edx, 4",  // MADV_DONTNEED
    "    mov eax, 28", // madvise
    "    syscall",
    "    test eax, eax", // refused for locked pages
    "    jnz 7f",
    "    inc r12",
    "7:  xor eax, eax",
    "    xchg dword ptr [r13], eax",
    "    cmp eax, 2",
    "    jb 8f",
    "    mov rdi, r13",
    "    mov esi, 129", // FUTEX_WAKE | FUTEX_PRIVATE_FLAG
    "    mov edx, 1",
    "    mov eax, 202", // futex
    "    syscall",
    "8:  add rbx, 32",
    "    dec rbp",
    "    jmp 2b",
    "9:  mov rax, r12",
    "    pop r14",
    "    pop r13",
    "    pop r12",
    "    pop rbp",
    "    pop rbx",
    "    ret",
    "slackwater_release_tops_end:",
    ".popsection",
);

unsafe extern "C" {
    #[link_name = "slackwater_release_tops"]
    static BEGIN: u8;
    #[link_name = "slackwater_release_tops_end"]
    static END: u8;
}

/// The code's bytes, to be copied into a target.
pub(crate) fn code() -> &'static [u8] {
    let begin = &raw const BEGIN;
    let len = (&raw const END).addr() - begin.addr();
    // SAFETY: both labels stand in the block above, in this order and in one section of our own
    // program's text, which is mapped readable and never written as long as we run.
    unsafe { std::slice::from_raw_parts(begin, len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_small_and_returns() {
        let code = code();
        assert!((100..512).contains(&code.len()), "{} bytes", code.len());
        assert_eq!(code.last(), Some(&0xc3));
    }
}
