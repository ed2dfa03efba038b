//! Names of native functions as their languages write them. Captures keep them as linkers know them.
//!
//! Invariant: a name is whatever somebody wrote into a file: work and length are bounded, and one that cannot
//! be read is shown as it is.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, ParseOptions, Symbol};

/// Longest name that is read. Templates have names of many kilobytes; longer ones are nobody's.
const MANGLED_BYTES_MAX: usize = 16 << 10;
/// Longest name that is shown.
const SHOWN_BYTES_MAX: usize = 1 << 10;
/// Names within names.
const DEPTH_MAX: u32 = 64;

/// The name as C++ or Rust write it, without hash; else as it is.
pub(crate) fn demangled(name: &str) -> String {
    let is_mangled = name.starts_with("_Z") || name.starts_with("_R");
    if !is_mangled || name.len() > MANGLED_BYTES_MAX {
        return name.to_owned();
    }
    // Rust's older names are C++'s, too, and say less in its words.
    of_rust(name).or_else(|| of_cpp(name)).unwrap_or_else(|| name.to_owned())
}

fn of_rust(name: &str) -> Option<String> {
    let demangled = rustc_demangle::try_demangle(name).ok()?;
    let mut shown = Bounded::default();
    // Ends early when there is no more room.
    let _ = write!(shown, "{demangled:#}");
    Some(shown.done())
}

fn of_cpp(name: &str) -> Option<String> {
    let parsing = ParseOptions::default().recursion_limit(DEPTH_MAX);
    let symbol = Symbol::new_with_options(name, &parsing).ok()?;
    let mut shown = Bounded::default();
    let options = DemangleOptions::new().recursion_limit(DEPTH_MAX);
    match symbol.structured_demangle(&mut shown, &options) {
        Ok(()) => Some(shown.done()),
        Err(_) if shown.is_full => Some(shown.done()),
        Err(_) => None,
    }
}

/// Text with an end.
#[derive(Default)]
struct Bounded {
    text: String,
    is_full: bool,
}

impl Bounded {
    fn done(mut self) -> String {
        if self.is_full {
            self.text.push('…');
        }
        self.text
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = SHOWN_BYTES_MAX - self.text.len();
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        self.text.push_str(&text[..end]);
        self.is_full = true;
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_their_languages_write_them() {
        for (name, expected) in [
            (
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
                "std::vector<int, std::allocator<int> >::push_back(int const&)",
            ),
            ("_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("PyObject_Malloc", "PyObject_Malloc"),
            ("_Znwm", "operator new(unsigned long)"),
            ("_Z", "_Z"),
            ("_ZZZZ", "_ZZZZ"),
            ("", ""),
        ] {
            assert_eq!(demangled(name), expected, "{name}");
        }
    }

    #[test]
    fn hostile_names_are_bounded() {
        let nested = format!("_ZN{}1aE", "1bI".repeat(3000));
        let pointers = format!("_Z1f{}i", "P".repeat(10_000));
        // Each refers to the one before, twice: its length doubles.
        let doubling =
            format!("_Z1fSt4pairIiiE{}", (0..40).map(|n| format!("St4pairIS{n}_S{n}_E")).collect::<String>());
        let long = format!("_Z1f{}", "i".repeat(20_000));
        for name in [nested, pointers, doubling, long] {
            assert!(demangled(&name).len() <= name.len().max(SHOWN_BYTES_MAX + 3), "{}", &name[..40]);
        }
    }
}
