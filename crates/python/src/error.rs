//! Why a Python in the target could not be understood.

use slackwater_base::Addr;
use slackwater_layout::cpython::PythonVersion;
use slackwater_memory::MemoryError;

/// Why a Python in the target could not be understood. That there is none is no error.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PythonError {
    /// A CPython whose layouts are not known.
    #[error("python {version} is not supported; the nearest supported release is {}.{}", nearest.0, nearest.1)]
    UnknownRelease {
        /// What was found.
        version: PythonVersion,
        /// The nearest known minor release.
        nearest: (u8, u8),
    },
    /// Not CPython.
    #[error("{name} is not CPython")]
    OtherImplementation {
        /// Its name.
        name: &'static str,
    },
    /// A CPython that does not say which release it is.
    #[error("the release of the python in {image} could not be determined")]
    FindVersion {
        /// The file that holds the interpreter.
        image: String,
    },
    /// The interpreter hides its runtime.
    #[error("python {version} exports no _PyRuntime")]
    FindRuntime {
        /// The release.
        version: PythonVersion,
    },
    /// The runtime's own table of offsets is missing or damaged.
    #[error("the debug offsets of python {version} at {addr} are missing or damaged")]
    DecodeOffsets {
        /// Of the runtime.
        addr: Addr,
        /// The release, which must have one.
        version: PythonVersion,
    },
    /// The runtime could not be read.
    #[error("cannot read python's runtime at {addr}")]
    ReadRuntime {
        /// What was read.
        addr: Addr,
        /// Why it failed.
        source: MemoryError,
    },
}

impl PythonError {
    /// What happens now, and what to try.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::UnknownRelease { .. } | Self::FindVersion { .. } | Self::OtherImplementation { .. } => {
                "python's own heap is not split; CPython 3.8 to 3.15 are supported"
            }
            Self::FindRuntime { .. } | Self::DecodeOffsets { .. } => {
                "python's own heap is not split; is it a patched build?"
            }
            Self::ReadRuntime { .. } => {
                "python's own heap is not split; `doctor` shows which right is missing"
            }
        }
    }
}
