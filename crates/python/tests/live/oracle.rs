//! What `sys._debugmallocstats()` says, as numbers.

/// One dump of pymalloc's own statistics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) arenas: u64,
    pub(crate) arena_bytes: u64,
    pub(crate) pools: u64,
    pub(crate) live_blocks: u64,
    pub(crate) live_bytes: u64,
    pub(crate) available_bytes: u64,
    pub(crate) unused_pool_bytes: u64,
    pub(crate) header_bytes: u64,
    pub(crate) quantization_bytes: u64,
    pub(crate) alignment_bytes: u64,
}

impl Statistics {
    /// The numbers of a complete dump.
    pub(crate) fn parse(dump: &str) -> Option<Self> {
        let value = |label: &str| {
            let line = dump.lines().find(|line| line.contains(label) && line.contains('='))?;
            line.rsplit('=').next()?.trim().replace(',', "").parse().ok()
        };
        let mut statistics = Self {
            arenas: value("# arenas allocated current")?,
            arena_bytes: value("bytes/arena")?,
            live_bytes: value("# bytes in allocated blocks")?,
            available_bytes: value("# bytes in available blocks")?,
            unused_pool_bytes: value("unused pools *")?,
            header_bytes: value("# bytes lost to pool headers")?,
            quantization_bytes: value("# bytes lost to quantization")?,
            alignment_bytes: value("# bytes lost to arena alignment")?,
            ..Self::default()
        };
        // The last line of the dump: without it the program is still writing.
        value("Total ")?;
        for line in dump.lines() {
            let numbers: Vec<u64> =
                line.split_whitespace().map_while(|word| word.replace(',', "").parse().ok()).collect();
            if let [_, _, pools, live, _] = numbers[..] {
                statistics.pools += pools;
                statistics.live_blocks += live;
            }
        }
        Some(statistics)
    }
}
