//! The file, byte by byte. Version 2.
//!
//! A capture is a magic number and then frames, appended one after the other and never changed. All
//! numbers are little-endian.
//!
//! ```text
//! file     "slackcap"  frame*
//! frame    header (48 bytes)  payload (stored_bytes)
//! header   0  "SWFR"
//!          4  kind            u8   1 session, 2 records, 3 end, 4 sums; others are
//!                                  skipped
//!          5  codec           u8   0 stored as it is, 1 zstd
//!          6  version         u16  of the records' encoding
//!          8  generation      u32  the process that the records are of; 0 in session and end, and
//!                                  for what is said of the recording as a whole
//!         12  stored_bytes    u32  of the payload, as it lies in the file
//!         16  raw_bytes       u32  of the payload, unpacked; at most 4 MiB
//!         20  records         u32  how many the payload holds
//!         24  first_ns        u64  CLOCK_MONOTONIC of the first record
//!         32  last_ns         u64  and of the last
//!         40  payload_crc     u32  CRC-32 (IEEE) of the payload as it lies in the file
//!         44  header_crc      u32  CRC-32 of the 44 bytes before
//! session  wall_ns u64  monotonic_ns u64       one moment on both clocks
//! ```
//!
//! **Append-only.** A capture that was cut off ends in an incomplete frame; everything before it is whole.
//! A damaged frame costs its own records only: the next one is found by its magic number and checksum.
//!
//! **Under way.** Whoever records holds an exclusive `flock` on the file; the kernel ends it with the
//! recorder, however that ends. While it is held, others may add frames of their own (`slackwater mark`
//! does): the file is opened for appending by all, and a frame is one write, so frames never mix. A few
//! may come behind the end.
//!
//! **One after the other.** A recording may go on in another capture. What its records refer to (births,
//! locations, stacks, names) is repeated there, so each can be read alone; a block that was handed out in
//! one and is given back in the next is live at the end of the first, and not known in the second.
//!
//! **Below a size.** A recording may be kept below a size: the file is written anew in full, with sums in
//! place of the records up to some moment, and takes the old one's place (rename) under the same lock. What
//! it then holds, in this order: the session; what was said of the recording; of each process its
//! definitions, as they were; a frame of sums of the recording, which says when most was live; of each
//! process frames of sums, all of the moment up to which they reach; and the records of later moments, as
//! they were. Frames of sums hold records too: `summed`, a `sum` for each stack and thread, and every block
//! that was live at that moment as an allocation of that moment: it is not part of the sums, but of the events
//! that `summed` counts. What is left of a range may be several. Processes that ended long before are one
//! for each program, with pid 0. Whoever appends a frame and finds afterwards that the name leads to another
//! file appends it there as well: a mark of the same moment and name as another is the same mark.
//!
//! **Index.** Headers alone tell which frames hold a span of time or a generation; they are found without
//! unpacking anything.
//!
//! **Versions.** A reader opens every version up to its own, and refuses a later one by name. Kinds of
//! frames and records that carry their length are added without a new version: older readers pass over
//! them. Version 2 has sums: without them, what is left of a recording would be taken for all of it.
//!
//! # Records
//!
//! Every frame of records is decoded from a fresh state (previous address, size, stack, thread and time
//! are 0, no recent addresses), so frames can be read in any order. Definitions of locations and stacks
//! hold for the whole generation, and may come after their first use.
//!
//! `uv` is a varint (7 bits per byte, least significant first, at most 10 bytes), `iv` a zigzag varint,
//! `text` a `uv` of at most 4096 and that many bytes of UTF-8, `real` a `uv` of the bits of a double-precision
//! number with its bytes in reverse order.
//!
//! ```text
//! 01 born        uv pid  uv parent generation or 0  uv sample mean in bytes, 0 exact
//!                text program
//! 02 ended       uv how: 0 gone, 1 exit status follows, 2 signal follows, 3 replaced by exec, 4 not seen
//!                uv status or signal
//! 03 location    uv id  uv line  text function  text file
//! 04 stack       uv id  iv parent - previous stack's id  uv location
//! 05 thread      uv tid  text name
//! 06 on          uv tid                         the thread of what follows
//! 07 at          iv nanoseconds since the previous at
//! 08 resident    uv bytes of RSS
//! 09 lost        uv events  that could not be handed over
//! 0a degraded    uv sample mean                 exact until here, sampled from here on
//! 0b unmapped    iv address - previous address  uv bytes
//! 0c no stacks   text why they cannot be read
//! 20..=3f        uv length, then so many bytes; a tag that is not known, and what follows the fields
//!                below, is passed over
//!    20 mark     text name                      of the moment of the last `at`
//!    21 fact     text key  text value           of the process, or of the machine (generation 0)
//!    22 resident uv anonymous  uv file  uv shared memory  uv swapped  uv PSS + 1, or 0
//!    23 module   uv start  uv bytes  uv offset in the file  uv length, build id  text path
//!    24 before   text allocator  text class of the ledger  uv bytes  uv blocks
//!                what was there before the process was recorded
//!    28 peak     uv nanoseconds  real bytes    of the recording: when most was live up to now
//!    29 summed   uv processes  uv events  uv lost events  uv first nanosecond  uv last nanosecond
//!                uv peak RSS  real peak of live bytes
//!    2a sum      uv stack  uv tid  uv bits: 1 allocated, 2 live, 4 live at the peak of all; for each
//!                real bytes  real calls  real variance of bytes  real bytes that are no estimate
//!                real largest sample mean  uv events
//!    2b asked    uv 0, or code of a kind of allocation + 1  then as one of a sum
//!                all that was asked for in that way up to this moment, blocks that follow included;
//!                0 where that is not known; before the sums by stack
//!    30 native   uv id  text function  text file  uv line  text module
//!                uv length, build id  uv address in the module
//!                native code: a location as 03, with an id among those
//! 40..=7f allocation
//!                bits 5..3 kind (0 malloc, 1 calloc, 2 realloc, 3 aligned, 4 mapping; of Python's
//!                own allocators 5 raw, 6 mem, 7 object)
//!                bit 2 sampled  bit 1 stack as before  bit 0 size as before
//!                u8 address code  [address]  [uv size]  [iv stack - previous stack]
//! 80..=9f free   the lower 5 bits are the address code  [address]
//! ```
//!
//! An address code below 30 is the place in the list of the 30 most recent distinct addresses, most recent
//! first; 30 is followed by `iv` (address - previous address) / 16, 31 by `iv` address - previous address.
//! Any use of an address moves it to the front of the list.
//!
//! Stack 0 is the empty one; a stack is its parent with one location called from there.
//!
//! A sampled allocation of `s` bytes stands for `1 / (1 - exp(-s / mean))` of its like. Mappings are never
//! sampled.

/// How a capture begins.
pub const MAGIC: [u8; 8] = *b"slackcap";

/// How a frame begins.
pub const FRAME_MAGIC: [u8; 4] = *b"SWFR";

/// The encoding of records that this release writes, and the newest that it reads.
pub const VERSION: u16 = 2;
