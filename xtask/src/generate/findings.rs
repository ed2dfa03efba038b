//! docs/findings.md: every finding and every mistake by its code, and every threshold.
//!
//! Invariant: codes and titles come from the enums themselves. A finding's text is the first comment of
//! the file in `rules/` that makes it, so that the page and the rule change together.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use slackwater_diagnose::Code;
use slackwater_diagnose::serving::{Grade, MistakeCode};

use super::{Page, entries};

const INTRODUCTION: &str = "\
<!-- Made by `cargo xtask generate`. -->
# Findings

What `slackwater diagnose` can find. A code stands for one thing for ever: it is never used again for
something else. The finding that explains most bytes (or most growth, when there is growth) is the
verdict; those marked *circumstance* never are, they name a cause or something to know beside it.
";

const MISTAKES: &str = "
# Mistakes

What `slackwater verify` can find, each with what was seen and the exact fix. Those marked *note* are in
force as they were meant, and good to know; the others make it exit with 1.
";

/// Names that keep their small letter at the start of a sentence.
const NAMES: [&str; 3] = ["glibc", "jemalloc", "pymalloc"];

const RULES: &str = "crates/diagnose/src/rules";
const THRESHOLDS: &str = "crates/diagnose/src/thresholds.rs";

/// The page.
///
/// # Errors
/// Names a finding that no rule makes.
pub(super) fn page(root: &Path) -> Result<Page> {
    let rules = entries(&root.join(RULES))?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display())))
        .collect::<Result<Vec<String>>>()?;
    let mut text = String::from(INTRODUCTION);
    for &code in Code::ALL {
        let Some(rule) = rules.iter().find(|rule| makes(rule, code)) else {
            bail!("no file in {RULES} makes {code} (Code::{code:?})");
        };
        let manual = manual(rule);
        // Findings of one rule that follow each other share its text.
        if text.ends_with(&manual) {
            text.truncate(text.len() - manual.len() - 1);
        }
        let circumstance = if code.decides() { "" } else { " (*circumstance*)" };
        let _ = write!(text, "\n## {code}: {}{circumstance}\n\n{manual}", code.title());
    }
    text.push_str(MISTAKES);
    for &code in MistakeCode::ALL {
        let note = if code.grade() == Grade::Note { " (*note*)" } else { "" };
        let about = wrapped(code.about());
        let _ = write!(text, "\n## {code}: {}{note}\n\n{about}", code.title());
    }
    let limits = root.join(THRESHOLDS);
    let limits = fs::read_to_string(&limits).with_context(|| format!("cannot read {}", limits.display()))?;
    text.push_str("\n## Thresholds\n\n| name | value | why |\n|---|---|---|\n");
    for limit in thresholds(&limits) {
        let _ = writeln!(text, "| `{}` | `{}` | {} |", limit.name, limit.value, limit.why);
    }
    Ok(Page { path: "docs/findings.md".to_owned(), text })
}

/// The paragraph in lines of at most a hundred columns.
fn wrapped(paragraph: &str) -> String {
    const WIDTH: usize = 100;
    let mut text = String::new();
    let mut column = 0;
    for word in paragraph.split_whitespace() {
        if column > 0 && column + 1 + word.len() > WIDTH {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text.push('\n');
    text
}

/// Whether the rule's code, tests left aside, makes findings of this code.
fn makes(rule: &str, code: Code) -> bool {
    let body = rule.split("#[cfg(test)]").next().unwrap_or(rule);
    let word = format!("Code::{code:?}");
    body.match_indices(&word).any(|(at, _)| {
        !body[at + word.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
    })
}

/// The file's own first comment, without the codes that it begins with: they are the heading.
fn manual(rule: &str) -> String {
    let text: String = rule
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    let body = match text.split_once(": ") {
        Some((codes, body)) if codes.starts_with("SW") => body,
        _ => &text,
    };
    if NAMES.iter().any(|name| body.starts_with(name)) {
        return body.to_owned();
    }
    let mut letters = body.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

struct Threshold<'a> {
    name: &'a str,
    value: &'a str,
    why: String,
}

/// The public constants of the file, with their comments in one line.
fn thresholds(source: &str) -> Vec<Threshold<'_>> {
    let mut found = Vec::new();
    let mut why: Vec<&str> = Vec::new();
    for line in source.lines() {
        if let Some(comment) = line.strip_prefix("///") {
            why.push(comment.trim());
        } else {
            if let Some((name, value)) = constant(line) {
                found.push(Threshold { name, value, why: why.join(" ") });
            }
            why.clear();
        }
    }
    found
}

/// Name and value of `pub const NAME: TYPE = VALUE;`.
fn constant(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("pub const ").or_else(|| line.strip_prefix("pub(crate) const "))?;
    let (declared, value) = rest.strip_suffix(';')?.split_once(" = ")?;
    Some((declared.split_once(':')?.0, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_makes_the_codes_outside_its_tests() {
        let rule = "//! SW102 to SW103: manual.\n//!\n//! More.\n\nfn x() { Code::PinnedGlibc }\n#[cfg(test)]\nCode::Swap";
        assert!(makes(rule, Code::PinnedGlibc));
        assert!(!makes(rule, Code::Swap));
        assert!(!makes("Code::SwapX", Code::Swap));
        assert_eq!(manual(rule), "Manual.\n\nMore.\n");
    }

    #[test]
    fn paragraphs_are_broken_between_words() {
        let text = wrapped(&"word ".repeat(50));
        assert!(text.lines().all(|line| line.len() <= 100 && !line.ends_with(' ')), "{text}");
        assert_eq!(text.split_whitespace().count(), 50);
    }

    #[test]
    fn thresholds_are_read_with_their_reasons() {
        let source = "/// 1 MiB.\nconst MIB: u64 = 1 << 20;\n\n/// Less is noise:\n/// seen often.\npub const X: u64 = 32 * MIB;\n";
        let found = thresholds(source);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name, found[0].value), ("X", "32 * MIB"));
        assert_eq!(found[0].why, "Less is noise: seen often.");
    }
}
