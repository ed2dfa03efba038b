//! A result that may be half true, together with what is missing from it.

use alloc::string::String;
use alloc::vec::Vec;

/// Something that could not be learnt. It travels with the value it is missing from, into every
/// report: nothing is guessed in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// What is missing: `glibc arena at 0x7f..`, `thread 812`.
    pub subject: String,
    /// Why, in lower case and without a full stop.
    pub cause: String,
}

impl Gap {
    /// A gap in `subject` because of `cause`.
    pub fn new(subject: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { subject: subject.into(), cause: cause.into() }
    }
}

/// A value and the gaps in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Partial<T> {
    /// What was learnt.
    pub value: T,
    /// What was not.
    pub gaps: Vec<Gap>,
}

impl<T> Partial<T> {
    /// A value with nothing missing.
    pub const fn whole(value: T) -> Self {
        Self { value, gaps: Vec::new() }
    }

    /// Takes the value and leaves its gaps in `gaps`.
    pub fn unpack(self, gaps: &mut Vec<Gap>) -> T {
        gaps.extend(self.gaps);
        self.value
    }
}
