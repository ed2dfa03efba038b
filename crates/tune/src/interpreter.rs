//! Which Python a command will run, as far as that decides where small objects may live.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use slackwater_base::words;

words! {
    /// A Python, by what it lets `PYTHONMALLOC` be.
    Interpreter {
        /// Anything may serve its objects; also a program that is no Python.
        Ordinary = "ordinary",
        /// In development mode its own debugging allocator serves, and shall.
        Development = "development",
        /// Without a GIL only its own mimalloc can serve objects, and it refuses to start otherwise.
        FreeThreaded = "free-threaded",
    }
}

impl Interpreter {
    /// What the program `file`, its links followed, is when it is started with `words`, the first of
    /// which is its own name, and with this `PYTHONDEVMODE`.
    pub fn of(file: &Path, words: &[OsString], development: Option<&OsStr>) -> Self {
        if is_free_threaded(file) {
            Self::FreeThreaded
        } else if development.is_some_and(|value| !value.is_empty()) || asks_for_development(words) {
            Self::Development
        } else {
            Self::Ordinary
        }
    }
}

/// By the name that builds without a GIL have: `python3.13t`.
fn is_free_threaded(file: &Path) -> bool {
    let version = file.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix("python"));
    let digits = version.and_then(|version| version.strip_suffix('t').or_else(|| version.strip_suffix("td")));
    digits.is_some_and(|digits| digits.split('.').all(|part| part.parse::<u8>().is_ok()))
}

/// `-X dev` or `-Xdev` before the script.
fn asks_for_development(words: &[OsString]) -> bool {
    let mut options = words
        .iter()
        .skip(1)
        .take_while(|word| word.as_encoded_bytes().first() == Some(&b'-') || *word == "dev");
    let mut after_x = false;
    options.any(|word| {
        let asks = word == "-Xdev" || (after_x && word == "dev");
        after_x = word == "-X";
        asks
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, words: &str, development: Option<&str>, expected: Interpreter) {
        let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        let found = Interpreter::of(Path::new(file), &words, development.map(OsStr::new));
        assert_eq!(found, expected, "{file} {words:?}");
    }

    #[test]
    fn pythons_are_told_apart() {
        use Interpreter::{Development, FreeThreaded, Ordinary};
        check("/usr/bin/python3.11", "python3 app.py", None, Ordinary);
        check("/usr/bin/python3.13t", "python app.py", None, FreeThreaded);
        check("/usr/bin/python3.14td", "python app.py", None, FreeThreaded);
        check("/usr/bin/pythont", "python app.py", None, Ordinary);
        check("/usr/bin/python3.11", "python3 -X dev app.py", None, Development);
        check("/usr/bin/python3.11", "python3 -u -Xdev app.py", None, Development);
        check("/usr/bin/python3.11", "python3 app.py -X dev", None, Ordinary);
        check("/usr/bin/python3.11", "python3 app.py", Some("1"), Development);
        check("/usr/bin/python3.11", "python3 app.py", Some(""), Ordinary);
    }
}
