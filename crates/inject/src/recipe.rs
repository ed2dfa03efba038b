//! What can be asked of each allocator, as data: a symbol, its arguments, and where it is likely to
//! be found. Entering knows nothing of these.

mod glibc_tops;
mod glibc_trim;
mod jemalloc;
mod mallctl;
mod mimalloc;
mod tcmalloc;

pub use glibc_tops::{Released, Top, release_tops};
pub use glibc_trim::GLIBC_TRIM;
pub use jemalloc::JEMALLOC_PURGE;
pub use mallctl::{Answer, Asked, Question, Type, ask};
pub use mimalloc::MIMALLOC_COLLECT;
pub use tcmalloc::TCMALLOC_RELEASE;

use crate::{Argument, Call, InjectError, Target};

/// A call that makes an allocator hand memory back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recipe {
    /// The allocator's name.
    pub allocator: &'static str,
    /// Names of the function, in the order in which they are looked for.
    pub symbols: &'static [&'static str],
    /// Beginnings of the names of files that usually export it. These are asked first.
    pub files: &'static [&'static str],
    /// Its arguments.
    pub arguments: &'static [Argument],
    /// Bytes for the arguments to point at.
    pub blob: &'static [u8],
}

impl Recipe {
    /// Every recipe.
    pub const ALL: [Self; 4] = [GLIBC_TRIM, JEMALLOC_PURGE, MIMALLOC_COLLECT, TCMALLOC_RELEASE];

    /// The call, for a process that has the allocator; `None` for one that does not export it.
    ///
    /// # Errors
    /// When the process cannot be looked at.
    pub fn resolve(&self, target: &Target<'_>) -> Result<Option<Call>, InjectError> {
        for symbol in self.symbols {
            let is_likely = |file: &str| self.files.iter().any(|start| file.starts_with(start));
            if let Some((function, file)) = target.exported(symbol, is_likely)? {
                return Ok(Some(Call {
                    function,
                    arguments: self.arguments.to_vec(),
                    blob: self.blob.to_vec(),
                    forbidden: vec![file],
                }));
            }
        }
        Ok(None)
    }
}
