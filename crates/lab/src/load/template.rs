//! Text with variables: `{n}`, a number that counts up, and `{random:A..B}`, a whole number from A up to,
//! not including, B.
//!
//! Everything else between braces stays as it is in a body, where JSON needs it; a path has no use for
//! braces, so there it is a slip.

use std::io::Write;
use std::ops::Range;

/// Bytes to send, with places to fill in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(Vec<u8>),
    Number,
    Random(Range<i64>),
}

impl Template {
    /// What is between braces and is no variable is an error.
    pub(super) fn of_path(path: &str) -> Result<Self, String> {
        let template = Self::of_body(path.as_bytes())?;
        for part in &template.parts {
            if let Part::Text(text) = part
                && let Some(at) = text.iter().position(|byte| matches!(byte, b'{' | b'}'))
            {
                let rest = &text[at..];
                let inner = rest.strip_prefix(b"{").unwrap_or(rest);
                let end = inner.iter().position(|&byte| byte == b'}').unwrap_or(inner.len());
                return Err(String::from_utf8_lossy(&inner[..end]).into_owned());
            }
        }
        Ok(template)
    }

    /// What is between braces and is no variable stays, save a `{random:` that cannot be drawn.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, String> {
        let (mut parts, mut text, mut rest) = (Vec::new(), Vec::new(), body);
        while let Some((&byte, after)) = rest.split_first() {
            match variable(rest)? {
                Some((part, n_bytes)) => {
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(part);
                    rest = &rest[n_bytes..];
                }
                None => {
                    text.push(byte);
                    rest = after;
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts })
    }

    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Appends the text with every variable filled in; each random number is drawn in the order of the text.
    pub(super) fn write(&self, n: u64, random: &mut fastrand::Rng, into: &mut Vec<u8>) {
        for part in &self.parts {
            // Writing to a vector does not fail.
            let _ = match part {
                Part::Text(text) => into.write_all(text),
                Part::Number => write!(into, "{n}"),
                Part::Random(range) => write!(into, "{}", random.i64(range.clone())),
            };
        }
    }
}

/// The variable that `text` begins with, and its length.
fn variable(text: &[u8]) -> Result<Option<(Part, usize)>, String> {
    if text.starts_with(b"{n}") {
        return Ok(Some((Part::Number, 3)));
    }
    if !text.starts_with(b"{random:") {
        return Ok(None);
    }
    let end = text.iter().position(|&byte| byte == b'}').unwrap_or(text.len());
    let inner = String::from_utf8_lossy(&text[1..end]).into_owned();
    let range = inner
        .strip_prefix("random:")
        .and_then(|range| range.split_once(".."))
        .and_then(|(from, below)| Some(from.trim().parse().ok()?..below.trim().parse().ok()?));
    match range {
        Some(range) if !range.is_empty() && end < text.len() => Ok(Some((Part::Random(range), end + 1))),
        _ => Err(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &Template, n: u64) -> String {
        let mut bytes = Vec::new();
        template.write(n, &mut fastrand::Rng::with_seed(n), &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn numbers_count_and_random_ones_stay_in_their_range() {
        let template = Template::of_path("/fleet/{n}/{random:-2..3}?x={n}").unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..200 {
            let path = filled(&template, n);
            let (fleet, rest) = path.strip_prefix("/fleet/").unwrap().split_once('/').unwrap();
            let (random, x) = rest.split_once("?x=").unwrap();
            assert_eq!((fleet, x), (n.to_string().as_str(), n.to_string().as_str()));
            seen.insert(random.parse::<i64>().unwrap());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
    }

    #[test]
    fn json_keeps_its_braces() {
        let template = Template::of_body(br#"{"a": {"n": {n}, "b": {}}}"#).unwrap();
        assert_eq!(filled(&template, 7), r#"{"a": {"n": 7, "b": {}}}"#);
    }

    #[test]
    fn slips_are_named() {
        for (path, slip) in [
            ("/{rand:1..2}", "rand:1..2"),
            ("/{N}", "N"),
            ("/{random:5..5}", "random:5..5"),
            ("/{random:a..b}", "random:a..b"),
            ("/{random:1..2", "random:1..2"),
            ("/x}y", ""),
        ] {
            assert_eq!(Template::of_path(path), Err(slip.to_owned()), "{path}");
        }
        assert_eq!(Template::of_body(b"{random:9}"), Err("random:9".to_owned()));
    }
}
