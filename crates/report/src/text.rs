//! Text for terminals: colour, and names that cannot play tricks on the terminal that shows them.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether text is dressed with colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// No escape sequences at all.
    Plain,
    /// ANSI colour.
    Colored,
}

impl Style {
    /// Bold.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Faint, for what matters less.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Green and bold: nothing to do, or what to do.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.wrap("1;32", text)
    }

    /// Yellow and bold: look here.
    #[must_use]
    pub fn warning(self, text: &str) -> String {
        self.wrap("1;33", text)
    }

    /// Red and bold: this failed.
    #[must_use]
    pub fn error(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colored => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// `text` with every character that could act on a terminal shown as an escape: controls (newlines
/// too), and the characters that reorder or hide text. For whatever the target chose: process and
/// thread names, paths, command lines.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts_on_terminal) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts_on_terminal(c) {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal would do something else than show it.
pub(crate) fn acts_on_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_act_on_the_terminal() {
        assert_eq!(visible("worker-1 café"), "worker-1 café");
        assert_eq!(visible("\x1b]0;pwned\x07"), "\\u{1b}]0;pwned\\u{7}");
        assert_eq!(visible("a\nb"), "a\\u{a}b");
        assert_eq!(visible("safe\u{202e}gpj.exe"), "safe\\u{202e}gpj.exe");
        assert_eq!(visible("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(visible("\u{61c}a\u{ad}\u{e0041}"), "\\u{61c}a\\u{ad}\\u{e0041}");
    }

    #[test]
    fn plain_style_adds_nothing() {
        assert_eq!(Style::Plain.error("x"), "x");
        assert_eq!(Style::Colored.strong("x"), "\x1b[1mx\x1b[0m");
    }
}
