//! Text laid out in columns for a terminal of 80.

use comfy_table::{CellAlignment, Table};

/// Columns that a line may take.
pub(crate) const WIDTH: usize = 80;

/// `label` in a column of its own, then `items`, three blanks apart, on as many lines as they need.
pub(crate) fn labelled(label: &str, label_width: usize, items: &[String]) -> String {
    let indent = 2 + label_width;
    let mut out = format!("  {label:<label_width$}");
    let mut column = indent;
    for (index, item) in items.iter().enumerate() {
        let width = shown_width(item);
        if index > 0 {
            if column + 3 + width > WIDTH {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = indent;
            } else {
                out.push_str("   ");
                column += 3;
            }
        }
        out.push_str(item);
        column += width;
    }
    out.push('\n');
    out
}

/// `text` broken into lines of at most 80 columns at blanks, each after `indent` blanks; the first
/// stands after as many columns already, and gets none.
#[must_use]
pub fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut column = indent;
    for (index, word) in unbroken(text).enumerate() {
        let width = shown_width(word);
        if index > 0 {
            if column + 1 + width > WIDTH {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(word);
        column += width;
    }
    out
}

/// The words of `text`, a number and its unit as one.
fn unbroken(text: &str) -> impl Iterator<Item = &str> {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "%", "ms"];
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(mut end) = text.find(' ') else { return rest.take() };
        if text[..end].ends_with(|last: char| last.is_ascii_digit()) {
            let next = &text[end + 1..];
            let unit = next.split(' ').next().unwrap_or_default();
            if UNITS.contains(&unit.trim_end_matches(['.', ',', ';', ':', ')'])) {
                end += 1 + unit.len();
            }
        }
        rest = text.get(end + 1..);
        Some(&text[..end])
    })
}

/// A table without lines: the columns `left` to the left, the others to the right.
pub(crate) fn table(header: &[&str], left: &[usize], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(header.to_vec())
        .add_rows(rows.iter().cloned());
    for (index, column) in table.column_iter_mut().enumerate() {
        let left = left.contains(&index);
        column.set_cell_alignment(if left { CellAlignment::Left } else { CellAlignment::Right });
    }
    table.lines().map(|line| format!(" {}\n", line.trim_end())).collect()
}

/// Columns that `text` takes on the terminal: escape sequences take none. Wide characters are
/// counted as one; names in a service are rarely of those.
pub(crate) fn shown_width(text: &str) -> usize {
    let mut width = 0;
    let mut in_escape = false;
    for c in text.chars() {
        match (in_escape, c) {
            (false, '\x1b') => in_escape = true,
            (true, 'm') => in_escape = false,
            (true, _) => {}
            (false, _) => width += 1,
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_break_onto_lines_of_eighty() {
        let items: Vec<String> = (0..9).map(|index| format!("item number {index}")).collect();
        let text = labelled("label", 10, &items);
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().nth(1).unwrap().starts_with("            item"));
    }

    #[test]
    fn a_number_and_its_unit_stay_together() {
        let words = |text| unbroken(text).collect::<Vec<_>>();
        assert_eq!(words("gave back 40.9 kB, no more"), ["gave", "back", "40.9 kB,", "no", "more"]);
        assert_eq!(words("67 % of 3 GB."), ["67 %", "of", "3 GB."]);
        assert_eq!(words("a  b "), ["a", "", "b", ""]);
        assert_eq!(words("5"), ["5"]);
        assert_eq!(words(""), [""]);
        let text = format!("{} 123.4 MB", "x".repeat(WIDTH - 6));
        assert_eq!(wrapped(&text, 0).lines().last(), Some("123.4 MB"));
    }

    #[test]
    fn colour_takes_no_room() {
        assert_eq!(shown_width("\x1b[1;31mred\x1b[0m!"), 4);
    }
}
