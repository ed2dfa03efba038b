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
    for (index, word) in text.split(' ').enumerate() {
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
    fn colour_takes_no_room() {
        assert_eq!(shown_width("\x1b[1;31mred\x1b[0m!"), 4);
    }
}
