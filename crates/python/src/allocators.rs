//! Which allocator serves the domains `raw`, `mem` and `obj`.
//!
//! `PYTHONMALLOC`, `-X dev`, debug builds, tracemalloc and profilers all replace the functions of a
//! domain. Hooks keep the functions they wrap where their context points, so the chain of contexts
//! ends at the allocator itself; and that is `malloc` when `raw` ends at the same function.

use slackwater_base::{Addr, Range};
use slackwater_layout::cpython::{
    AllocatorRecord, DEBUG_API_IDS, DEBUG_API_SIZE, PythonVersion, STANDARD_DOMAINS_SIZE,
};
use slackwater_memory::{Memory, MemoryError, MemoryExt};

use crate::image::PythonImage;
use crate::scan::find_word;

/// Most hooks on top of one another.
const MOST_HOOKS: u32 = 8;
/// Most bytes between two static records: they are aligned to 64 bytes at most.
const MOST_PADDING: i64 = 56;

/// What serves a domain in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    /// CPython's allocator for small objects; larger blocks go to `malloc`.
    Pymalloc,
    /// The C library's `malloc`, or whatever is preloaded in its place.
    Malloc,
    /// The mimalloc inside CPython.
    Mimalloc,
    /// Functions outside the interpreter: an extension module or an embedding program.
    Foreign,
}

/// One of CPython's allocator domains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Domain {
    /// What serves it in the end.
    pub backend: Backend,
    /// Whether the debug hooks are on: each block then carries 32 bytes more.
    pub debug_hooks: bool,
    /// Whether something else listens: tracemalloc, a profiler.
    pub hooked: bool,
}

/// CPython's allocator domains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Domains {
    /// `PyMem_RawMalloc`.
    pub raw: Domain,
    /// `PyMem_Malloc`.
    pub mem: Domain,
    /// `PyObject_Malloc`.
    pub obj: Domain,
}

/// The end of a domain's chain of hooks.
struct Chain {
    malloc: Addr,
    debug_hooks: bool,
    hooked: bool,
}

/// Finds the domains' records and follows them. `has_arenas` says whether pymalloc holds any.
pub(crate) fn find<M: Memory + ?Sized>(
    memory: &M,
    image: &PythonImage,
    version: PythonVersion,
    has_arenas: bool,
) -> Result<Option<Domains>, MemoryError> {
    let table = find_word(memory, &image.data, |window, addr, word| {
        let [raw, mem, _] = DEBUG_API_IDS;
        let is_likely = word.to_le_bytes()[0] == raw && window.bytes(addr + DEBUG_API_SIZE) == Some(&[mem]);
        (is_likely && is_debug_table(memory, addr)).then_some(addr)
    })?;
    let Some(table) = table else { return Ok(None) };
    let Some(records) = standard_records(memory, table, version) else { return Ok(None) };
    let debug = Range::sized(table, 3 * DEBUG_API_SIZE);
    let [raw, mem, obj] = records.map(|record| follow(memory, record, debug));

    let has_code = |chain: &Chain| image.has_code(chain.malloc);
    let obj_backend = if obj.malloc == raw.malloc {
        Backend::Malloc
    } else if !has_code(&obj) {
        Backend::Foreign
    } else if has_arenas || !version.is_from(13) {
        Backend::Pymalloc
    } else {
        // From 3.13 on the interpreter holds three allocators, and this is neither of the others: a
        // running interpreter on pymalloc always has an arena.
        Backend::Mimalloc
    };
    let mem_backend = if mem.malloc == raw.malloc {
        Backend::Malloc
    } else if has_code(&mem) {
        obj_backend
    } else {
        Backend::Foreign
    };
    let raw_backend = if has_code(&raw) { Backend::Malloc } else { Backend::Foreign };
    let domain =
        |chain: &Chain, backend| Domain { backend, debug_hooks: chain.debug_hooks, hooked: chain.hooked };
    Ok(Some(Domains {
        raw: domain(&raw, raw_backend),
        mem: domain(&mem, mem_backend),
        obj: domain(&obj, obj_backend),
    }))
}

/// Whether the three records of the debug hooks lie at `addr`.
fn is_debug_table<M: Memory + ?Sized>(memory: &M, addr: Addr) -> bool {
    DEBUG_API_IDS.iter().zip(0..).all(|(&id, index)| {
        let api = addr + index * DEBUG_API_SIZE;
        let mut letter = [0];
        memory.read(api, &mut letter).is_ok()
            && letter[0] == id
            && read_record(memory, api + AllocatorRecord::IN_DEBUG_API).is_some()
    })
}

/// The records of `raw`, `mem` and `obj`.
fn standard_records<M: Memory + ?Sized>(
    memory: &M,
    table: Addr,
    version: PythonVersion,
) -> Option<[AllocatorRecord; 3]> {
    if version.is_from(12) {
        let record =
            |index| read_record(memory, table - STANDARD_DOMAINS_SIZE + index * AllocatorRecord::SIZE as u64);
        return Some([record(0)?, record(1)?, record(2)?]);
    }
    // Three static variables around the debug hooks', in an order that is the compiler's choice; but
    // `mem` has been seen nowhere but between the other two.
    let end = table + 3 * DEBUG_API_SIZE;
    let mut records = neighbours(memory, table, -1);
    records.reverse();
    records.extend(neighbours(memory, end, 1));
    let [first, mem, last] = records[..] else { return None };
    let debug = Range::new(table, end);
    let end_of = |record: AllocatorRecord| follow(memory, record, debug).malloc;
    let raw = end_of(read_record(memory, table + AllocatorRecord::IN_DEBUG_API)?);
    if end_of(first) == raw && end_of(last) != raw {
        Some([first, mem, last])
    } else {
        Some([last, mem, first])
    }
}

/// The records that follow `from` upwards or downwards without more than padding between them, the
/// nearest first; three at most.
fn neighbours<M: Memory + ?Sized>(memory: &M, from: Addr, direction: i64) -> Vec<AllocatorRecord> {
    const SIZE: i64 = AllocatorRecord::SIZE as i64;
    let mut records = Vec::new();
    let mut edge = from;
    while records.len() < 3 {
        let near = (0..=MOST_PADDING).step_by(8).find_map(|padding| {
            let start = if direction > 0 { padding } else { -padding - SIZE };
            let start = Addr(edge.get().checked_add_signed(start)?);
            Some((start, read_record(memory, start)?))
        });
        let Some((start, record)) = near else { break };
        edge = if direction > 0 { start + SIZE as u64 } else { start };
        records.push(record);
    }
    records
}

/// The record at `addr`: four functions, and a context that is not one.
fn read_record<M: Memory + ?Sized>(memory: &M, addr: Addr) -> Option<AllocatorRecord> {
    let mut bytes = [0; AllocatorRecord::SIZE];
    memory.read(addr, &mut bytes).ok()?;
    let record = AllocatorRecord::parse(&bytes);
    let is_code = |addr: Addr| memory.mapping_at(addr).is_some_and(|map| map.access.execute);
    (record.functions.into_iter().all(is_code) && !is_code(record.context)).then_some(record)
}

/// Follows the contexts of hooks down to the allocator.
fn follow<M: Memory + ?Sized>(memory: &M, mut record: AllocatorRecord, debug: Range) -> Chain {
    let mut chain = Chain { malloc: record.malloc(), debug_hooks: false, hooked: false };
    for _ in 0..MOST_HOOKS {
        let is_debug = debug.contains(record.context);
        let wrapped = if is_debug { record.context + AllocatorRecord::IN_DEBUG_API } else { record.context };
        let Some(next) = (!record.context.is_null()).then(|| read_record(memory, wrapped)).flatten() else {
            break;
        };
        chain.debug_hooks |= is_debug;
        chain.hooked |= !is_debug;
        chain.malloc = next.malloc();
        record = next;
    }
    chain
}
