//! A copy of one arena's `malloc_state`.

use slackwater_base::Addr;
use slackwater_layout::glibc::state::{N_BINS, NONCONTIGUOUS, StateLayout};
use slackwater_layout::{Field, glibc::state::N_FASTBINS};
use slackwater_memory::{Memory, MemoryError};

use super::links::Links;

/// A copy of one arena's `malloc_state`.
#[derive(Clone, Debug)]
pub(super) struct State {
    layout: &'static StateLayout,
    /// Where the original lies.
    pub(super) addr: Addr,
    bytes: Vec<u8>,
}

impl State {
    pub(super) fn read(
        memory: &dyn Memory,
        layout: &'static StateLayout,
        addr: Addr,
    ) -> Result<Self, MemoryError> {
        let mut bytes = vec![0; layout.bytes as usize];
        memory.read(addr, &mut bytes)?;
        Ok(Self { layout, addr, bytes })
    }

    fn get<T: slackwater_layout::Scalar + Default>(&self, field: Field<T>) -> T {
        // The copy is as long as the layout, so the field is always there.
        field.get(&self.bytes).unwrap_or_default()
    }

    pub(super) fn top(&self) -> Addr {
        self.get(self.layout.top)
    }

    /// Whether the arena has no memory yet: `top` then poses as the first bin.
    pub(super) fn is_empty(&self) -> bool {
        self.top().is_null() || self.top() == self.layout.bin_head(self.addr, 0)
    }

    pub(super) fn system_bytes(&self) -> u64 {
        self.get(self.layout.system_mem)
    }

    pub(super) fn is_contiguous(&self) -> bool {
        self.get(self.layout.flags) & NONCONTIGUOUS == 0
    }

    /// First chunk of each fast bin, with the size of its chunks.
    pub(super) fn fastbins(&self) -> impl Iterator<Item = (u64, Addr)> + '_ {
        let heads = self.layout.fastbins.into_iter();
        heads.flat_map(move |first| {
            (0..N_FASTBINS).map(move |index| {
                let head = Field::<Addr>::at(first.offset() + index * 8);
                (32 + index * 16, self.get(head))
            })
        })
    }

    /// The links of the bins' heads.
    pub(super) fn links(&self) -> Links {
        let mut links = Links::default();
        for index in 0..N_BINS {
            let pair = self.layout.bins.offset() + index * 16;
            let next = self.get(Field::<Addr>::at(pair));
            let previous = self.get(Field::<Addr>::at(pair + 8));
            links.add(self.layout.bin_head(self.addr, index), next, previous);
        }
        links
    }

    /// Where the arena keeps the address of its top chunk.
    pub(super) fn top_field(&self) -> Addr {
        self.layout.top.of(self.addr)
    }

    /// The arena's lock.
    pub(super) fn lock(&self) -> Addr {
        self.layout.lock.of(self.addr)
    }
}
