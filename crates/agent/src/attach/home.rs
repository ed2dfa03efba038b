//! The object that a function belongs to: where its variables and its code lie.

use core::ops::Range;

use super::list;
use super::objects::SEGMENTS;

/// An object of the loader's list, as far as it is needed to know what belongs to it.
pub(crate) struct Home {
    /// Its variables. Nothing of them is made read-only.
    pub(crate) data: Range<u64>,
    code: [Range<u64>; SEGMENTS],
}

impl Home {
    /// The object whose code is at this address.
    pub(crate) fn of(code: u64) -> Option<Self> {
        let mut found = None;
        list::each(|object| {
            if object.runs(code) {
                found = object.data().map(|data| Self { data, code: object.code().clone() });
            }
            !object.runs(code)
        });
        found
    }

    /// Whether this address is in its code.
    pub(crate) fn runs(&self, addr: u64) -> bool {
        self.code.iter().any(|range| range.contains(&addr))
    }
}
