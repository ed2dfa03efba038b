//! Looks for bytes in a body that comes in pieces, and keeps no more of it than one piece could hide.

use memchr::memmem::Finder;

/// One search, under way.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The last bytes of what came, one less than are looked for.
    tail: Vec<u8>,
    found: bool,
}

impl Search {
    /// For the next body.
    pub(super) fn clear(&mut self) {
        self.tail.clear();
        self.found = false;
    }

    /// Whether it was there.
    pub(super) fn found(&self) -> bool {
        self.found
    }

    /// Looks at the next piece, and at the seam between it and what came before.
    pub(super) fn take(&mut self, piece: &[u8], finder: &Finder) {
        if self.found {
            return;
        }
        let n_overlap = finder.needle().len().saturating_sub(1);
        self.tail.extend_from_slice(&piece[..n_overlap.min(piece.len())]);
        self.found = finder.find(&self.tail).is_some() || finder.find(piece).is_some();
        // A long piece has the whole of the next tail; a short one is already at the end of this one.
        match piece.len().checked_sub(n_overlap) {
            Some(n_before) => {
                self.tail.clear();
                self.tail.extend_from_slice(&piece[n_before..]);
            }
            None => {
                self.tail.drain(..self.tail.len().saturating_sub(n_overlap));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], needle: &str) {
        let expected = body.windows(needle.len()).any(|window| window == needle.as_bytes());
        let finder = Finder::new(needle);
        for n_piece in 1..=body.len() {
            let mut search = Search::default();
            for piece in body.chunks(n_piece) {
                search.take(piece, &finder);
                assert!(search.tail.len() < needle.len());
            }
            assert_eq!(search.found(), expected, "{needle:?} in pieces of {n_piece}");
        }
    }

    #[test]
    fn pieces_of_any_size_hide_nothing() {
        let body = b"aabaabaaab{\"mean\": 12.5}";
        for needle in
            ["a", "aaab", "abaaab", "mean", "12.5}", "aabaabaaab{\"mean\": 12.5}", "means", "bb", "5}x"]
        {
            check(body, needle);
        }
    }
}
