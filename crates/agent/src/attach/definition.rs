//! Where the program finds a function: the first object that defines it, in the order of loading.
//!
//! `dlsym(RTLD_DEFAULT)` may name a stub of the program itself, which is the address of functions for C, and
//! only jumps on through a slot; `dlsym(RTLD_NEXT)`, for a library that is loaded late, knows only what that
//! depends on. So each object's own hash table is asked (`DT_GNU_HASH`, as `do_lookup_x` in
//! elf/dl-lookup.c does).
//!
//! Invariant: only tables that the loader relies on are read. An object without this table defines nothing.
#![allow(unsafe_code)] // the hash tables of loaded objects

use core::ffi::CStr;

use super::list::each;
use super::objects::{Object, UNDEFINED};

/// The address of the first definition of `name` in the order of loading.
pub(crate) fn definition(name: &CStr) -> usize {
    let mut found = 0;
    each(|object| {
        found = object.defines(name).unwrap_or(0);
        found == 0
    });
    found as usize
}

impl Object {
    /// Where it defines `name`, by its hash table (`DT_GNU_HASH`, as `do_lookup_x` in elf/dl-lookup.c).
    fn defines(&self, name: &CStr) -> Option<u64> {
        let table = self.hash_table()?;
        let word = |idx: u64| {
            let word = (table as *const u32).wrapping_add(idx as usize);
            // SAFETY: a word of the table, as its first four say how long it is.
            u64::from(unsafe { *word })
        };
        // Number of buckets, first symbol, words of the filter, shift; filter, buckets, chains.
        let (n_buckets, first, n_filter) = (word(0), word(1), word(2));
        let buckets = 4 + n_filter * 2;
        let hash = name
            .to_bytes()
            .iter()
            .fold(5381_u32, |hash, &byte| hash.wrapping_mul(33).wrapping_add(u32::from(byte)));
        let mut idx = word(buckets + u64::from(hash).checked_rem(n_buckets)?);
        if idx < first {
            return None;
        }
        loop {
            let present = word(buckets + n_buckets + idx - first) as u32;
            if present | 1 == hash | 1 {
                let symbol = self.symbol(idx);
                if symbol.section != UNDEFINED && self.name(symbol) == name {
                    return Some(self.address(symbol));
                }
            }
            if present & 1 != 0 {
                return None;
            }
            idx += 1;
        }
    }
}
