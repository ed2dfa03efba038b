//! The word that was probably meant.

/// The one of `words` that `typed` is most likely a slip of, if any is near enough.
pub fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = plain(typed);
    let (distance, word) =
        words.map(|word| (distance(&typed, &plain(word)), word)).min_by_key(|&(distance, _)| distance)?;
    // A third of the letters wrong is another word, not a slip.
    (distance <= typed.len() / 3).then_some(word)
}

/// Letters and digits only: case, `-` and `_` are not what makes a word another one.
fn plain(word: &str) -> Vec<u8> {
    word.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase()).collect()
}

/// Letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, &a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &b) in right.iter().enumerate() {
            let changed = last[j] + usize::from(a != b);
            let mut least = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a == right[j - 1] && left[i - 1] == b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_from_other_words() {
        let of = |typed| nearest(typed, ["dirty_decay_ms", "muzzy_decay_ms", "narenas", "thp"].into_iter());
        assert_eq!(of("dirty_decay"), Some("dirty_decay_ms"));
        assert_eq!(of("drity_decay_ms"), Some("dirty_decay_ms"));
        assert_eq!(of("Dirty-Decay-MS"), Some("dirty_decay_ms"));
        assert_eq!(of("n_arenas"), Some("narenas"));
        assert_eq!(of("tph"), Some("thp"));
        assert_eq!(of("colour"), None);
        assert_eq!(of(""), None);
        assert_eq!(nearest("x", std::iter::empty()), None);
    }

    #[test]
    fn distances_are_counted_in_single_slips() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "acb", 1),
            ("abc", "abd", 1),
            ("ca", "abc", 3),
        ] {
            assert_eq!(distance(left.as_bytes(), right.as_bytes()), expected, "{left} {right}");
        }
    }
}
