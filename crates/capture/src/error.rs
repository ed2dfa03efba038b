//! What can be wrong with a capture.

use std::io;
use std::path::PathBuf;

/// Why a file cannot be read as a capture at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is some other file.
    #[error("{} is not a capture of slackwater", path.display())]
    NotACapture {
        /// The file.
        path: PathBuf,
    },
    /// Nothing is in it.
    #[error("nothing is in {} yet", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a later release.
    #[error("{} has format {version}, and this release reads up to format {newest}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u16,
        /// The newest one that is read here.
        newest: u16,
    },
}

/// Why the records of one frame cannot be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end within a record.
    #[error("it ends within a record")]
    Short,
    /// A number has more digits than its type.
    #[error("it holds a number that is too large")]
    Number,
    /// A text is too long or no UTF-8.
    #[error("it holds a text that is none")]
    Text,
    /// No record begins with this byte.
    #[error("it holds a record of unknown kind {0:#04x}")]
    Kind(u8),
    /// A place in the list of recent addresses that nothing has been put in.
    #[error("it refers to an address that was not seen")]
    Address,
}
