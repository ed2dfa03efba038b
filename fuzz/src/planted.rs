//! A Python of each minor release, written by the rules of its sources: the runtime, two
//! interpreters, the table of allocators, and pymalloc with an arena or two.
//!
//! ```text
//! CODE   the interpreter's file, executable
//! DATA   its data: _PyRuntime, the version's text, allocators, main interpreter, pymalloc's state
//! OTHER  the other interpreter, and from 3.12 on its own state
//! TABLE  two tables of arenas
//! ARENAS one arena each
//! ```

use std::sync::LazyLock;

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_layout::cpython::{
    AllocatorRecord, ArenaObject, DEBUG_API_IDS, DEBUG_API_SIZE, DebugOffsets, Geometry, MgmtLayout,
    ObmallocHome, PoolHeader, PymallocState, PythonVersion, ReleaseLevel, RuntimeLayout,
    STANDARD_DOMAINS_SIZE,
};
use slackwater_memory::{Access, FileId, Kind};

use crate::{Base, Region};

const CODE: Addr = Addr(0x40_0000);
const DATA: Addr = Addr(0x41_0000);
const OTHER: Addr = Addr(0x50_0000);
const TABLE: Addr = Addr(0x60_0000);
/// Not a multiple of a large pool's size: each arena loses one.
const ARENAS: Addr = Addr(0x7f00_0000_1000);

const RUNTIME: Addr = Addr(DATA.0 + 0x100);
const VERSION: Addr = Addr(DATA.0 + 0x800);
const ALLOCATORS: Addr = Addr(DATA.0 + 0x1000);
const MAIN: Addr = Addr(DATA.0 + 0x1800);
const STATE: Addr = Addr(DATA.0 + 0x2000);

const N_SLOTS: u64 = 16;
const N_CARVED: u64 = 8;
const FILE: FileId = FileId { device: 1, inode: 2 };
const INTERPRETER_BYTES: u64 = 0x400;
/// Of the pointer to pymalloc's state in an interpreter, from 3.13 on.
const STATE_LINK: u64 = 0x40;

/// A planted Python.
#[derive(Debug)]
pub struct Planted {
    /// Its memory.
    pub base: Base,
    /// The state of each pymalloc in it.
    pub pymalloc: Vec<PymallocState>,
}

/// One Python of each known minor release, oldest first.
pub fn planted() -> &'static [Planted] {
    static PLANTED: LazyLock<Vec<Planted>> = LazyLock::new(|| {
        let minors = PythonVersion::OLDEST_MINOR..=PythonVersion::NEWEST_MINOR;
        let version =
            |minor| PythonVersion { major: 3, minor, micro: 5, level: ReleaseLevel::Final, serial: 0 };
        minors.map(|minor| plant(version(minor))).collect()
    });
    &PLANTED
}

fn plant(version: PythonVersion) -> Planted {
    let geometry = Geometry::of(version)[0];
    let layout = RuntimeLayout::of(version);
    let home = layout.map_or(ObmallocHome::Pointed, |layout| layout.home);
    let file = || Kind::File {
        path: format!("/usr/bin/python3.{}", version.minor).into(),
        id: FILE,
        deleted: false,
    };
    let anonymous = |start, n_pages| Region::new(start, n_pages, Kind::Anonymous { name: None });
    let arena_pages = (geometry.arena_bytes / PAGE_SIZE) as usize;
    let mut code = Region::new(CODE, 1, file());
    code.access = Access { read: true, write: false, execute: true };
    let regions = vec![
        code,
        Region::new(DATA, 4, file()),
        anonymous(OTHER, 4),
        anonymous(TABLE, 1),
        anonymous(ARENAS, 2 * arena_pages),
    ];
    let mut base = Base { regions, ..Base::default() };
    base.symbols.push((FILE, "_PyRuntime", Range::sized(RUNTIME, 1024)));
    write_version(&mut base, version);
    write_interpreters(&mut base, version, layout);
    write_allocators(&mut base);

    // Where the other interpreter keeps its own state, if it has one.
    let other_state = match home {
        ObmallocHome::Statics => None,
        ObmallocHome::Embedded => Some(OTHER + STATE.offset_from(MAIN)),
        ObmallocHome::Pointed => Some(OTHER + 0x1000 + MgmtLayout::IN_STATE),
    };
    if home == ObmallocHome::Pointed {
        base.write(MAIN + STATE_LINK, (STATE - MgmtLayout::IN_STATE).get());
        base.write(OTHER + STATE_LINK, OTHER.get() + 0x1000);
    }
    let states = [Some(STATE), other_state];
    let mut pymalloc = Vec::new();
    for (state, index) in states.into_iter().flatten().zip(0..) {
        let table = TABLE + index * N_SLOTS * ArenaObject::SIZE;
        let arena = ARENAS + index * geometry.arena_bytes;
        write_state(&mut base, state, table, geometry, home);
        write_table(&mut base, table, arena, geometry);
        let max_arenas = state + MgmtLayout::MAX_ARENAS;
        pymalloc.push(PymallocState { arenas: state, max_arenas, geometry });
    }
    Planted { base: base.with_words(), pymalloc }
}

fn write_version(base: &mut Base, version: PythonVersion) {
    if version.is_from(11) {
        base.symbols.push((FILE, "Py_Version", Range::sized(VERSION, 4)));
        base.write(VERSION, hex(version));
        return;
    }
    let text = format!("{version} (main, May  9 2026, 07:33:49) [GCC 12.2.0]");
    for (chunk, index) in text.as_bytes().chunks(8).zip(0..) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        base.write(VERSION + index * 8, u64::from_le_bytes(word));
    }
}

fn hex(version: PythonVersion) -> u64 {
    u64::from(u32::from_be_bytes([version.major, version.minor, version.micro, 0xf0]))
}

/// The list leads from the other interpreter to the main one. From 3.13 on the table of offsets
/// comes first.
fn write_interpreters(base: &mut Base, version: PythonVersion, layout: Option<RuntimeLayout>) {
    let (head, next) = match layout {
        Some(layout) => (layout.interpreters_head, layout.interpreter_next),
        None => {
            let (head, id, next) = (632, 8, 16);
            let cookie = u64::from_le_bytes(DebugOffsets::COOKIE);
            let words = [cookie, hex(version), 0, 1024, 600, head, INTERPRETER_BYTES, id, next];
            for (word, index) in words.into_iter().zip(0..) {
                base.write(RUNTIME + index * 8, word);
            }
            (head, next)
        }
    };
    base.write(RUNTIME + head, OTHER.get());
    base.write(OTHER + next, MAIN.get());
}

/// `raw` is served by the C library, the others by pymalloc; the debug hooks lie behind them.
fn write_allocators(base: &mut Base) {
    let mut write = |record: Addr, functions: u64| {
        for index in 0..4 {
            base.write(record + 8 + index * 8, CODE.get() + functions + index * 0x10);
        }
    };
    for (domain, functions) in [0x100, 0x200, 0x200].into_iter().enumerate() {
        let index = domain as u64;
        write(ALLOCATORS + index * AllocatorRecord::SIZE as u64, functions);
        let hooks = ALLOCATORS + STANDARD_DOMAINS_SIZE + index * DEBUG_API_SIZE;
        write(hooks + AllocatorRecord::IN_DEBUG_API, functions);
    }
    for (id, index) in DEBUG_API_IDS.into_iter().zip(0..) {
        base.write(ALLOCATORS + STANDARD_DOMAINS_SIZE + index * DEBUG_API_SIZE, id.into());
    }
}

fn write_state(base: &mut Base, state: Addr, table: Addr, geometry: Geometry, home: ObmallocHome) {
    base.write(state + MgmtLayout::ARENAS, table.get());
    base.write(state + MgmtLayout::MAX_ARENAS, N_SLOTS);
    if home != ObmallocHome::Statics {
        base.write(state + MgmtLayout::UNUSED, (table + ArenaObject::SIZE).get());
        base.write(state + MgmtLayout::USABLE, table.get());
        base.write(state + MgmtLayout::n_allocated(geometry), 1);
    }
}

/// One arena in use, the other slots in the chain of unused ones.
fn write_table(base: &mut Base, table: Addr, arena: Addr, geometry: Geometry) {
    for index in 1..N_SLOTS - 1 {
        let slot = table + index * ArenaObject::SIZE;
        base.write(slot + 32, (slot + ArenaObject::SIZE).get());
    }
    let pools = geometry.pools(arena);
    let n_pools = pools.len() / geometry.pool_bytes;
    let mut free_pools = 0;
    let mut n_free = n_pools - N_CARVED;
    for index in 0..N_CARVED {
        let pool = pools.start + index * geometry.pool_bytes;
        let is_free = index % 3 == 2;
        write_pool(base, pool, free_pools, index, is_free, geometry);
        if is_free {
            free_pools = pool.get();
            n_free += 1;
        }
    }
    let carved = pools.start + N_CARVED * geometry.pool_bytes;
    for (word, index) in [arena.get(), carved.get(), n_free | n_pools << 32, free_pools].into_iter().zip(0..)
    {
        base.write(table + index * 8, word);
    }
}

/// A pool of the size class `4 * index`, with every second block free, or all of them.
fn write_pool(base: &mut Base, pool: Addr, next: u64, index: u64, is_free: bool, geometry: Geometry) {
    let size_class = 4 * index;
    let block = (size_class + 1) * 16;
    let n_blocks = ((geometry.pool_bytes - PoolHeader::SIZE) / block).min(12);
    let (mut head, mut n_live) = (0, 0);
    for number in 0..n_blocks {
        let at = pool + PoolHeader::SIZE + number * block;
        if is_free || number % 2 == 1 {
            base.write(at, head);
            head = at.get();
        } else {
            n_live += 1;
        }
    }
    let next_offset = PoolHeader::SIZE + n_blocks * block;
    let words = [n_live, head, next, 0, size_class << 32, next_offset | (geometry.pool_bytes - block) << 32];
    for (word, index) in words.into_iter().zip(0..) {
        base.write(pool + index * 8, word);
    }
}
