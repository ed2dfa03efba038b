//! Real processes for tests: small programs with one behaviour each, in C or Python, on every
//! interpreter and every glibc found, started, spoken to over pipes, and reaped.
//!
//! Invariant: nothing here waits by sleeping, and nothing started here outlives its test.
//!
//! ```no_run
//! use slackwater_testkit::Program;
//!
//! # fn main() -> Result<(), slackwater_testkit::TestkitError> {
//! let source = r#"
//!     #include "planted.h"
//!     int main(void) {
//!         char *block = malloc(1 << 20);
//!         memset(block, 1, 1 << 20);
//!         ready("%p", block);
//!         while (next_command()) reply("still here");
//!     }"#;
//! let mut target = Program::c("one_block", source)?.spawn()?;
//! let block = target.greeting().to_owned();
//! assert_eq!(target.ask("hello")?, "still here");
//! # Ok(()) }
//! ```

mod compile;
mod error;
mod interpreters;
mod library;
mod program;
mod roots;
mod rounds;
mod shared_object;
mod sys;
mod target;
mod wheel;

pub use compile::Linking;
pub use error::TestkitError;
pub use interpreters::{Interpreter, Version, interpreters};
pub use library::{agent_library, allocator_library, checked_agent_library};
pub use program::Program;
pub use roots::{GlibcRoot, glibc_roots};
pub use rounds::{Rounds, rounds};
pub use shared_object::SharedObject;
pub use target::Target;
pub use wheel::wheel;
