//! The pools of Python's small objects: equal blocks behind a header, in a stretch of addresses of their own.
//! A pool that holds nothing has no used blocks in its header, or was never written.

/// What a reader outside has to know of a pool's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pool {
    /// Blocks that the program holds.
    pub n_used: u32,
    /// Bytes of each.
    pub block_bytes: u32,
}

impl Pool {
    /// Bytes of a pool, and what its address is a multiple of.
    pub const BYTES: u64 = 16 << 10;
    /// Where the first block is.
    pub const FIRST_BLOCK: u64 = 48;
    /// Where in the header these eight bytes are.
    pub const OFFSET: u64 = 24;

    /// Decodes them; `None` when they belong to no pool.
    pub fn parse(bytes: [u8; 8]) -> Option<Self> {
        let word = u64::from_le_bytes(bytes);
        let (n_used, block_bytes) = (word as u32, (word >> 32) as u32);
        let pool = Self { n_used, block_bytes };
        let fits = pool.live_bytes() <= Self::BYTES - Self::FIRST_BLOCK;
        (block_bytes > 0 && block_bytes.is_multiple_of(16) && fits).then_some(pool)
    }

    /// Bytes of the blocks that the program holds.
    pub const fn live_bytes(&self) -> u64 {
        self.n_used as u64 * self.block_bytes as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_no_pool_has_are_none() {
        let parse = |n_used: u32, block_bytes: u32| {
            Pool::parse((u64::from(block_bytes) << 32 | u64::from(n_used)).to_le_bytes())
        };
        assert_eq!(parse(31, 512).map(|pool| pool.live_bytes()), Some(31 * 512));
        assert_eq!(parse(0, 16).map(|pool| pool.live_bytes()), Some(0));
        for (n_used, block_bytes) in [(32, 512), (1, 0), (1, 24), (u32::MAX, u32::MAX - 15)] {
            assert_eq!(parse(n_used, block_bytes), None);
        }
    }
}
