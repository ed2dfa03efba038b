//! CPython, 3.8 to 3.15: versions, the runtime's structures, the object allocator's.

mod allocators;
mod debug_offsets;
mod frames;
mod lines;
mod obmalloc;
mod runtime;
mod version;

pub use allocators::{AllocatorRecord, DEBUG_API_IDS, DEBUG_API_SIZE, STANDARD_DOMAINS_SIZE};
pub use debug_offsets::DebugOffsets;
pub use frames::{CurrentFrame, FrameLayout, Instruction, LoopEntry, StateHome};
pub use lines::LineTable;
pub use obmalloc::{ArenaObject, Geometry, MgmtLayout, PoolHeader, PymallocState, SMALL_CLASSES};
pub use runtime::{ObmallocHome, RuntimeLayout};
pub use version::{ParseVersionError, PythonVersion, ReleaseLevel};
