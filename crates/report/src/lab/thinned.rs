//! Long series made short for drawing.
//!
//! Invariant: the lowest and the highest sample of every stretch are kept, each at its own time, and so
//! are the first and the last: no peak is flattened, and nothing is drawn that was not measured.

/// Which samples to draw so that each of `n_stretches` keeps its lowest and its highest; all when there
/// are not that many.
pub(super) fn kept(values: &[u64], n_stretches: usize) -> Vec<usize> {
    let n_stretches = n_stretches.max(1);
    if values.len() <= 2 * n_stretches {
        return (0..values.len()).collect();
    }
    let mut kept = vec![0];
    for stretch in 0..n_stretches {
        let from = stretch * values.len() / n_stretches;
        let until = (stretch + 1) * values.len() / n_stretches;
        let lowest = (from..until).min_by_key(|&index| values[index]);
        let highest = (from..until).max_by_key(|&index| values[index]);
        kept.extend(lowest.into_iter().chain(highest));
    }
    kept.push(values.len() - 1);
    kept.sort_unstable();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_and_ends_survive() {
        let mut values: Vec<u64> = (0..10_000).map(|index| 500 + index % 7).collect();
        values[4321] = 9_000;
        values[8765] = 1;
        let kept = kept(&values, 100);
        assert!(kept.len() <= 202, "{}", kept.len());
        for index in [0, 4321, 8765, 9_999] {
            assert!(kept.contains(&index), "{index}");
        }
        assert!(kept.is_sorted());
    }

    #[test]
    fn short_series_stay_whole() {
        assert_eq!(kept(&[3, 1, 2], 2), [0, 1, 2]);
        assert_eq!(kept(&[], 2), Vec::<usize>::new());
        assert_eq!(kept(&[5], 0), [0]);
    }
}
