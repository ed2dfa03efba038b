//! Data within a page.
//!
//! Invariant: nothing in a block can end it: the JSON has no `<`.

/// JSON as a script element can hold it: with nothing that HTML or JavaScript reads otherwise.
pub(crate) fn in_script(value: &impl serde::Serialize) -> String {
    // Writing into a string fails only where a value cannot be written, and these all can.
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_a_block_can_end_it() {
        let value = json!({ "</script><!--": "\u{2028}<script>&" });
        let text = in_script(&value);
        assert!(!text.contains(['<', '>', '&', '\u{2028}']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
