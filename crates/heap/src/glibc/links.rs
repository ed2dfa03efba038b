//! Proof that the free chunks found are exactly those in the bins, in constant memory.
//!
//! Every chunk and every bin head has one link forward and one back. Seen as pairs (from, to), the
//! forward links are the same set as the back links reversed, if and only if each list is linked
//! properly and no member is missing or foreign. Sets are compared by sums of hashes: a chunk
//! missed, or one too many, leaves the sums apart.

use slackwater_base::Addr;

/// Sums over the forward and the reversed back links.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Links {
    forward: u64,
    back: u64,
}

impl Links {
    /// Counts a chunk or a bin head with its two links.
    pub(super) const fn add(&mut self, node: Addr, next: Addr, previous: Addr) {
        self.forward = self.forward.wrapping_add(mix(node.0, next.0));
        self.back = self.back.wrapping_add(mix(previous.0, node.0));
    }

    /// Counts what `other` counted.
    pub(super) const fn join(&mut self, other: Self) {
        self.forward = self.forward.wrapping_add(other.forward);
        self.back = self.back.wrapping_add(other.back);
    }

    /// Whether every link has its counterpart.
    pub(super) const fn balance(self) -> bool {
        self.forward == self.back
    }
}

/// A hash of an ordered pair; each bit of the result depends on all bits of both.
pub(super) const fn mix(from: u64, to: u64) -> u64 {
    let mut hash = from.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ to.rotate_left(29);
    hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash = (hash ^ (hash >> 29)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Addr = Addr(0x1000);
    const ONE: Addr = Addr(0x2000);
    const TWO: Addr = Addr(0x3000);

    fn links(nodes: &[(Addr, Addr, Addr)]) -> Links {
        let mut links = Links::default();
        for &(node, next, previous) in nodes {
            links.add(node, next, previous);
        }
        links
    }

    #[test]
    fn a_list_balances_only_when_whole() {
        let whole = [(HEAD, ONE, TWO), (ONE, TWO, HEAD), (TWO, HEAD, ONE)];
        assert!(links(&whole).balance());
        assert!(links(&[]).balance());
        assert!(links(&[(HEAD, HEAD, HEAD)]).balance());
        for missing in 0..3 {
            let rest = whole.iter().enumerate().filter(|(index, _)| *index != missing);
            let rest: Vec<_> = rest.map(|(_, node)| *node).collect();
            assert!(!links(&rest).balance(), "without {missing}");
        }
        let foreign = [whole[0], whole[1], whole[2], (Addr(0x4000), ONE, HEAD)];
        assert!(!links(&foreign).balance());
        let crossed = [(HEAD, TWO, ONE), (ONE, TWO, HEAD), (TWO, HEAD, ONE)];
        assert!(!links(&crossed).balance());
    }
}
