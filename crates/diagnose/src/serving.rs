//! Which malloc really serves a process, with which settings, and who gives memory back there while
//! the process is idle: evidence from the process itself, and what of it contradicts what its
//! environment asks for.
//!
//! ```text
//! scope        the loader's list of files      binding      where calls of malloc really go
//! environment  what was asked for              preload      what became of each file asked for
//! settings     what is in force                purging      who gives memory back
//! look         all of that for one process     mistakes     what is wrong, and the exact fix
//! ```
//!
//! Invariant: reads only, and nothing is concluded from the environment alone. What cannot be seen is a
//! gap, never a mistake.

mod binding;
mod environment;
mod look;
mod mistake;
mod mistakes;
mod model;
mod preload;
mod purging;
mod scope;
mod settings;

pub use environment::Environment;
pub use look::look;
pub use mistake::{Grade, Mistake, MistakeCode};
pub use mistakes::judge;
pub use model::{
    Answers, AskedAbove, CLibrary, Elsewhere, Evidence, Fate, Governor, Origin, Preload, PreloadSource,
    Purger, Purging, Server, Serving, Setting,
};

use slackwater_memory::{Bindings, Memory, Symbols};

/// One process's memory, and what its loader did.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) memory: &'a dyn Memory,
    pub(crate) symbols: &'a dyn Symbols,
    pub(crate) bindings: &'a dyn Bindings,
}
