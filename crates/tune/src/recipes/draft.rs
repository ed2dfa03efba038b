//! A file that is being written: lines, and comments wrapped to a width that a terminal shows.
//!
//! Invariant: every syntax here has comments that begin with `#` and end with the line.

use slackwater_base::words;

use super::File;

words! {
    /// What a file is written in.
    Syntax {
        /// An image's recipe.
        Dockerfile = "dockerfile",
        /// A unit's drop-in.
        Ini = "ini",
        /// A manifest.
        Yaml = "yaml",
        /// A module.
        Python = "python",
        /// Commands for sh.
        Shell = "shell",
    }
}

/// Comments are not wider.
const WIDTH: usize = 100;

/// A file that is being written.
pub(super) struct Draft {
    name: String,
    syntax: Syntax,
    text: String,
}

impl Draft {
    /// Begins with the line that names the file and says what it is for.
    pub(super) fn new(name: impl Into<String>, syntax: Syntax, about: &str) -> Self {
        let name = name.into();
        let mut draft = Self { text: String::new(), syntax, name };
        let first = format!("{}: {about}", draft.name);
        draft.note(&first);
        draft
    }

    /// A comment.
    pub(super) fn note(&mut self, comment: &str) {
        self.note_at(0, comment);
    }

    /// A comment, indented by so many blanks. What goes on after `- ` hangs below it.
    pub(super) fn note_at(&mut self, indent: usize, comment: &str) {
        let mut prefix = format!("{:indent$}# ", "");
        let mut line = String::new();
        for word in comment.split(' ') {
            if !line.is_empty() && prefix.len() + line.len() + 1 + word.chars().count() > WIDTH {
                self.line(&format!("{prefix}{line}"));
                if line.starts_with("- ") {
                    prefix.push_str("  ");
                }
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&format!("{prefix}{line}"));
    }

    /// A command or an example in a comment: never wrapped.
    pub(super) fn example(&mut self, command: &str) {
        self.line(&format!("#     {command}"));
    }

    /// A line as it is.
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.line("");
    }

    /// The finished file.
    pub(super) fn file(self) -> File {
        File { name: self.name, syntax: self.syntax, text: self.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_wrapped_and_lines_are_not() {
        let mut draft = Draft::new("a.conf", Syntax::Ini, "is an example");
        draft.note_at(4, &"word ".repeat(40));
        draft.line(&"x".repeat(150));
        let text = draft.file().text;
        assert!(text.starts_with("# a.conf: is an example\n    # word word"), "{text}");
        let comments = text.lines().filter(|line| line.trim_start().starts_with('#'));
        assert!(comments.clone().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(comments.count(), 4);
        assert!(text.ends_with(&format!("{}\n", "x".repeat(150))), "{text}");
    }
}
