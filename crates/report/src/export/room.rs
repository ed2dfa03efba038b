//! How large a document may become, whatever a capture claims: of stacks that a small file describes, each with
//! all of its callers' names, more text can be made than any disk has.
//!
//! Invariant: a document that finds no room is not written at all: cut, it would not add up.

use slackwater_base::Bytes;

/// More than any viewer of these documents opens.
const MOST: Bytes = Bytes(256 << 20);

/// Why a recording cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// It would be larger than any viewer opens.
    #[error("the document would be larger than {MOST}")]
    TooLarge,
    /// It cannot be packed.
    #[error("cannot pack the document")]
    Pack(#[from] std::io::Error),
}

impl ExportError {
    /// What to try.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TooLarge => {
                "export less of it with --pid, --from or --until, or as pprof, which holds each name once"
            }
            Self::Pack(_) => "free some memory, and try again",
        }
    }
}

/// The room that is left.
pub(super) struct Room {
    left_bytes: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { left_bytes: MOST.0 }
    }
}

impl Room {
    /// Takes so many bytes of it.
    ///
    /// # Errors
    /// When there is less.
    pub(super) fn take(&mut self, n_bytes: usize) -> Result<(), ExportError> {
        self.left_bytes = self.left_bytes.checked_sub(n_bytes as u64).ok_or(ExportError::TooLarge)?;
        Ok(())
    }

    /// They were not needed.
    pub(super) const fn give_back(&mut self, n_bytes: usize) {
        self.left_bytes = self.left_bytes.saturating_add(n_bytes as u64);
    }
}
