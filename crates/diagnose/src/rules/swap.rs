//! SW124: part of the service is on swap, where RSS does not count it.

use super::{Facts, bytes};
use crate::{Code, Confidence, Finding, Kind, advice, thresholds};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let swapped = facts.service.swap_bytes;
    if swapped < thresholds::SWAP_MIN_BYTES {
        return None;
    }
    Some(Finding {
        code: Code::Swap,
        kind: Kind::Undetermined,
        pid: None,
        bytes: swapped,
        bytes_per_second: None,
        confidence: Confidence { value: 0.95, why: "the kernel's own figure" },
        evidence: vec![bytes("swap_bytes", swapped), bytes("rss_bytes", facts.service.rss_bytes)],
        advice: vec![advice::note(
            "these bytes are in none of the classes above; swapped pages are not read, and a trim brings back \
             those that it walks over",
        )],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_from_sixteen_mebibytes_on() {
        assert!(scene().swap(16 * MIB).found(find).is_some());
        assert!(scene().swap(16 * MIB - 1).found(find).is_none());
    }
}
