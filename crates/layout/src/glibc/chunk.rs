//! `struct malloc_chunk`: the header before every block.
//!
//! Source: malloc/malloc.c, the same from glibc-2.17 to 2.43.
//!
//! ```text
//! chunk  +0   size of the chunk before, if that one is free; else the last word of its block
//!        +8   size, a multiple of 16 | NON_MAIN_ARENA | IS_MMAPPED | PREV_INUSE
//! block  +16  the program's bytes; in a free chunk: next in its bin
//!        +24  ...                  in a free chunk: previous in its bin
//! chunk + size: the next chunk; its PREV_INUSE says whether this one is in use
//! ```

use slackwater_base::Addr;

use crate::Field;

/// The size word, with the flags in its low bits.
pub const SIZE: Field<u64> = Field::at(8);
/// Size of the free chunk before; in mapped chunks, bytes from the start of the map.
pub const PREV_SIZE: Field<u64> = Field::at(0);
/// Next chunk in the bin.
pub const FD: Field<Addr> = Field::at(16);
/// Previous chunk in the bin.
pub const BK: Field<Addr> = Field::at(24);

/// The chunk before is in use.
pub const PREV_INUSE: u64 = 1;
/// The chunk has a map of its own.
pub const IS_MMAPPED: u64 = 2;
/// The chunk belongs to a secondary arena.
pub const NON_MAIN_ARENA: u64 = 4;
/// All flags of the size word.
pub const FLAGS: u64 = 7;

/// From a chunk to its block, `CHUNK_HDR_SZ`. Of these only the size word is the chunk's own.
pub const HEADER_BYTES: u64 = 16;
/// Bytes that a chunk in use costs beyond its block: the size word. A block reaches 8 bytes into
/// the next chunk.
pub const OVERHEAD_BYTES: u64 = 8;
/// `MALLOC_ALIGNMENT`.
pub const ALIGN: u64 = 16;
/// `MINSIZE`, the smallest chunk.
pub const MIN_BYTES: u64 = 32;
/// `sizeof (struct malloc_chunk)`: what `mtrim` keeps at the start of a free chunk.
pub const STRUCT_BYTES: u64 = 48;

/// The next chunk of a fast bin or a thread cache, given its stored form and where that is stored.
/// Source: malloc/malloc.c, `REVEAL_PTR`, glibc-2.32.
pub const fn reveal(stored: u64, position: Addr) -> Addr {
    Addr(stored ^ (position.0 >> 12))
}
