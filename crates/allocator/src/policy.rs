//! The thresholds of the governor: the table's, or the user's.
//!
//! `SLACKWATER_POLICY=name:value,name:value` changes thresholds by their names in `control::Policy`.
//!
//! Invariant: a word that is not understood is named on standard error, once per program, and changes
//! nothing.
#![allow(unsafe_code)] // a string of the environment

use crate::{fork, sys};
use core::ffi::CStr;
use slackwater_control::Policy;

const VARIABLE: &CStr = c"SLACKWATER_POLICY";

/// The table, with the user's changes.
pub(crate) fn from_environment() -> Policy {
    let mut policy = Policy::DEFAULT;
    let value = sys::secure_getenv(VARIABLE.as_ptr());
    if !value.is_null() {
        // SAFETY: a string of the environment.
        let words = unsafe { CStr::from_ptr(value) }.to_bytes();
        if !apply(&mut policy, words) && !fork::has_forked() {
            sys::write_error(
                b"slackwater: SLACKWATER_POLICY names a threshold that does not exist, or no number\n",
            );
        }
    }
    policy
}

/// Whether every word was understood; those that were are in force.
fn apply(policy: &mut Policy, words: &[u8]) -> bool {
    let mut all = true;
    for word in words.split(|&byte| byte == b',').filter(|word| !word.is_empty()) {
        all &= set(policy, word).is_some();
    }
    all
}

fn set(policy: &mut Policy, word: &[u8]) -> Option<()> {
    let (name, value) = core::str::from_utf8(word).ok()?.split_once(':')?;
    policy.set(name, value.parse().ok()?).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_change_thresholds() {
        let mut policy = Policy::DEFAULT;
        assert!(apply(&mut policy, b"busy_tick_ms:20,,idle_wait_ms:400"));
        assert_eq!((policy.busy_tick_ms, policy.idle_wait_ms), (20, 400));
        for wrong in [&b"busy:1"[..], b"busy_tick_ms:x", b"busy_tick_ms", b"\xff:1"] {
            assert!(!apply(&mut policy, wrong), "{wrong:?}");
        }
        assert_eq!(policy.busy_tick_ms, 20);
    }
}
