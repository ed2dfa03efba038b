//! Asking a program that watches a word of its own: answered, not answered, and where no word is.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Peek, process, victim};
use slackwater_base::Addr;
use slackwater_inject::{InjectError, Mailbox, Reply, Target};

/// Serves one word of two, and says where they are.
const WATCHES: &str = r#"
    #include "planted.h"
    #include <pthread.h>
    #include <stdatomic.h>
    static _Atomic uint32_t command = 0xffffffff, served = 0xffffffff, deaf, other;
    static void *watch(void *unused) {
        (void)unused;
        for (;;) {
            uint32_t now = command;
            if (now != served) served = now;
            usleep(1000);
        }
    }
    int main(void) {
        pthread_t thread;
        pthread_create(&thread, NULL, watch, NULL);
        ready("%lu %lu %lu %lu", (unsigned long)&command, (unsigned long)&served, (unsigned long)&deaf,
              (unsigned long)&other);
        serve();
    }"#;

#[test]
fn a_request_is_one_write_and_is_answered() {
    let mut victim = victim("watches", WATCHES);
    let words: Vec<Addr> = victim.greeting_numbers().into_iter().map(Addr).collect();
    let process = process(&victim);
    let target = Target::open(&process).unwrap();
    // The first request carries the word over its largest value.
    for expected in [0, 1, 2] {
        let mailbox = Mailbox { command: words[0], served: words[1] };
        let reply = target.post(mailbox, Duration::from_secs(20)).unwrap();
        assert!(matches!(reply, Reply::Served(_)), "{reply:?}");
        assert_eq!(Peek::at(&victim).word(words[1].get()) as u32, expected);
    }
    assert_eq!(victim.ask("still there").unwrap(), "");
}

#[test]
fn silence_is_an_answer_too() {
    let victim = victim("watches", WATCHES);
    let words: Vec<Addr> = victim.greeting_numbers().into_iter().map(Addr).collect();
    let process = process(&victim);
    let target = Target::open(&process).unwrap();
    let mailbox = Mailbox { command: words[2], served: words[3] };
    assert_eq!(target.post(mailbox, Duration::from_millis(50)).unwrap(), Reply::Silence);
    assert_eq!(Peek::at(&victim).word(words[2].get()) as u32, 1, "the request stays");
}

#[test]
fn nothing_is_written_where_no_word_of_the_target_can_be() {
    let victim = victim("watches", WATCHES);
    let words: Vec<Addr> = victim.greeting_numbers().into_iter().map(Addr).collect();
    let process = process(&victim);
    let target = Target::open(&process).unwrap();
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", victim.pid())).unwrap();
    let code = maps.lines().find(|line| line.contains("r-xp")).unwrap();
    let code = Addr(u64::from_str_radix(code.split('-').next().unwrap(), 16).unwrap());
    let before = Peek::at(&victim).word(code.get());
    for command in [code, Addr(0), Addr(words[0].get() + 1)] {
        let mailbox = Mailbox { command, served: words[1] };
        let error = target.post(mailbox, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, InjectError::Unsupported { .. }), "{error:?}");
    }
    assert_eq!(Peek::at(&victim).word(code.get()), before);
}
