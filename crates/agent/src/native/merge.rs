//! One stack of two, read whole: native frames, and Python's in place of those that run them.
//!
//! ```text
//! native    malloc_caller  loop    call_method  loop  main
//! Python                   f g  |               h  |
//! merged    malloc_caller  f g     call_method  h     main        newest first
//! ```
//!
//! Python says where each call of its loop began, so each call has its own frames: they are counted off, not
//! guessed. Where the count does not come out, because somebody has put another loop in place, or stacks are
//! switched under way, Python's frames stay whole and of native ones only those that are newer than all of
//! Python are kept: a mark in between says that others are left out.
//!
//! Invariant: bounded by the room for keys.

use slackwater_unwind::Ended;

use super::walk::{Frame, Walk};
use crate::python::frames::{NATIVE_PLACE, NO_CODE, PLACE_BITS, Reader};
use crate::python::{Chain, Item};
use crate::room::{self, Level, Seen};

/// The key of frames that are left out: locations begin with 1.
pub(super) const LEFT_OUT: u64 = NATIVE_PLACE;

/// The key of a native location.
pub(super) const fn key_of(location: u32) -> u64 {
    (location as u64) << PLACE_BITS | NATIVE_PLACE
}

/// Whether a key is one of native code.
pub(super) const fn is_native(key: u64) -> bool {
    key & ((1 << PLACE_BITS) - 1) == NATIVE_PLACE
}

/// The location of a native key; 0 for [`LEFT_OUT`].
pub(super) const fn location(key: u64) -> u32 {
    (key >> PLACE_BITS) as u32
}

/// Native frames, newest first.
pub(super) trait Natives {
    /// The next one; why there is none.
    fn next(&mut self) -> Result<Frame, Ended>;
}

/// Python's frames, newest first.
pub(super) trait Pythons {
    /// The next one; `None` at the end.
    fn next(&mut self) -> Option<Item>;
}

impl Natives for Walk<'_> {
    fn next(&mut self) -> Result<Frame, Ended> {
        Walk::next(self)
    }
}

impl<R: Reader> Pythons for Chain<'_, R> {
    #[inline]
    fn next(&mut self) -> Option<Item> {
        Chain::next(self)
    }
}

/// How many frames were found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Merged {
    /// So many, and there are no more.
    All(usize),
    /// So many of the newest.
    Newest(usize),
}

/// The keys do not fit.
struct Full;

struct Keys<'a> {
    found: &'a [Level],
    depth: usize,
}

impl Keys<'_> {
    fn push(&mut self, key: u64, mark: u32) -> Result<(), Full> {
        let seen = Seen { frame: 0, instruction: key, code: NO_CODE, mark };
        if !room::note(self.found, self.depth, &seen) {
            return Err(Full);
        }
        self.depth += 1;
        Ok(())
    }

    /// All frames of Python that are left.
    fn push_rest(&mut self, python: &mut impl Pythons) -> Result<(), Full> {
        while let Some(item) = python.next() {
            if let Item::Frame(key, mark) = item {
                self.push(key, mark)?;
            }
        }
        Ok(())
    }
}

/// Writes the merged keys, the newest first. Both stacks may be walked twice.
pub(super) fn merge<N: Natives, P: Pythons>(
    natives: impl Fn() -> N,
    pythons: impl Fn() -> Option<P>,
    found: &[Level],
) -> Merged {
    let mut keys = Keys { found, depth: 0 };
    let result = match one_to_one(natives(), pythons(), &mut keys) {
        Ok(true) => Ok(()),
        Ok(false) => {
            keys.depth = 0;
            apart(natives(), pythons(), &mut keys)
        }
        Err(Full) => Err(Full),
    };
    match result {
        Ok(()) => Merged::All(keys.depth),
        Err(Full) => Merged::Newest(keys.depth),
    }
}

/// Whether the count came out.
fn one_to_one(
    mut natives: impl Natives,
    mut python: Option<impl Pythons>,
    keys: &mut Keys<'_>,
) -> Result<bool, Full> {
    loop {
        match (natives.next(), &mut python) {
            (Ok(Frame::Native(key)), _) | (Ok(Frame::Interpreter(key)), None) => keys.push(key, 0)?,
            (Ok(Frame::Interpreter(key)), Some(python)) => {
                let mut n_frames = 0;
                loop {
                    match python.next() {
                        Some(Item::Frame(key, mark)) => keys.push(key, mark)?,
                        Some(Item::Entry) => break,
                        None => return Ok(false),
                    }
                    n_frames += 1;
                }
                if n_frames == 0 {
                    // Between two frames: the loop clears the one that has ended.
                    keys.push(key, 0)?;
                }
            }
            (Err(Ended::Outermost), None) => return Ok(true),
            (Err(Ended::Outermost), Some(python)) => {
                // What is left has no loop to run it.
                return Ok(!core::iter::from_fn(|| python.next()).any(|item| item != Item::Entry));
            }
            (Err(Ended::Unknown), python) => {
                keys.push(LEFT_OUT, 0)?;
                return match python {
                    Some(python) => keys.push_rest(python).map(|()| true),
                    None => Ok(true),
                };
            }
        }
    }
}

/// Native frames that are newer than all of Python, and all of Python.
fn apart(
    mut natives: impl Natives,
    mut python: Option<impl Pythons>,
    keys: &mut Keys<'_>,
) -> Result<(), Full> {
    while let Ok(Frame::Native(key)) = natives.next() {
        keys.push(key, 0)?;
    }
    keys.push(LEFT_OUT, 0)?;
    match &mut python {
        Some(python) => keys.push_rest(python),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct List<T>(std::vec::IntoIter<T>, Ended);

    impl Natives for List<Frame> {
        fn next(&mut self) -> Result<Frame, Ended> {
            self.0.next().ok_or(self.1)
        }
    }

    impl Pythons for List<Item> {
        fn next(&mut self) -> Option<Item> {
            self.0.next()
        }
    }

    /// Native frames in lower case, the loop as `L`; Python's frames as digits, `|` where its loop began.
    fn check(native: &str, ended: Ended, python: Option<&str>, expected: &str) {
        let natives = || {
            let frame = |letter: char| match letter {
                'L' => Frame::Interpreter('L' as u64),
                letter => Frame::Native(letter as u64),
            };
            List(native.chars().map(frame).collect::<Vec<_>>().into_iter(), ended)
        };
        let pythons = || {
            let item = |letter: char| match letter {
                '|' => Item::Entry,
                letter => Item::Frame(letter as u64, 0),
            };
            Some(List(python?.chars().map(item).collect::<Vec<_>>().into_iter(), ended))
        };
        let found: [Level; 12] = Default::default();
        let (Merged::All(depth) | Merged::Newest(depth)) = merge(natives, pythons, &found);
        let letter = |key: u64| if key == LEFT_OUT { '?' } else { char::from(key as u8) };
        let merged: String = found[..depth].iter().map(|found| letter(found.instruction())).collect();
        assert_eq!(merged, expected, "{native} {python:?}");
    }

    #[test]
    fn each_call_of_the_loop_has_its_own_frames() {
        let check = |native, python, expected| check(native, Ended::Outermost, python, expected);
        check("abLcLd", Some("12|3|"), "ab12c3d");
        check("Ld", Some("123|"), "123d");
        check("abd", Some(""), "abd");
        check("abLd", None, "abLd");
        // The loop has nothing to run just now.
        check("aLcLd", Some("|3|"), "aLc3d");
    }

    #[test]
    fn where_the_count_does_not_come_out_nothing_is_guessed() {
        let check = |native, python, expected| check(native, Ended::Outermost, python, expected);
        check("abLcLd", Some("12|"), "ab?12");
        check("abLcLd", Some("12|3"), "ab?123");
        check("abLc", Some("12|3|"), "ab?123");
        check("abc", Some("1|"), "abc?1");
    }

    #[test]
    fn what_is_not_known_is_marked() {
        let check = |native, python, expected| check(native, Ended::Unknown, python, expected);
        check("abLc", Some("12|3|"), "ab12c?3");
        check("ab", None, "ab?");
        check("", Some("12|"), "?12");
    }

    #[test]
    fn what_does_not_fit_is_cut_off() {
        check("abcdefghijklmn", Ended::Outermost, None, "abcdefghijkl");
        check("aLb", Ended::Outermost, Some("123456789012345|"), "a12345678901");
    }
}
