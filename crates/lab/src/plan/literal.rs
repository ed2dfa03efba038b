//! Values as TOML has them.
//!
//! Invariant: what is written here is one value on one line, and is read back as what it was.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// A string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// A command as a shell would have it, where it needs no quotation marks; a list of words otherwise.
pub(crate) fn command(words: &[String]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:=@,{}+-%".contains(&byte);
    if words.iter().all(|word| !word.is_empty() && word.bytes().all(plain)) {
        return quoted(&words.join(" "));
    }
    format!("[{}]", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", "))
}

/// Names with their values.
pub(crate) fn table<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let one = |(name, value): (&str, &str)| format!("{} = {}", quoted(name), quoted(value));
    format!("{{ {} }}", pairs.into_iter().map(one).collect::<Vec<_>>().join(", "))
}

/// Variables with their values.
pub(crate) fn environment(variables: &BTreeMap<String, String>) -> String {
    table(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// A time.
pub(crate) fn time(time: Duration) -> String {
    format!("\"{}s\"", time.as_secs_f64())
}
