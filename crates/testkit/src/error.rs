//! What can go wrong between a test and its target program. Tests mostly `unwrap` these, so each
//! message carries everything a reader of the failed test needs.

use std::path::PathBuf;
use std::time::Duration;

/// Why a target program could not be made, started or spoken to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestkitError {
    /// A file of the build or script cache could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The C compiler refused the program.
    #[error("cannot compile {name}:\n{diagnostics}")]
    Compile {
        /// Name the test gave the program.
        name: String,
        /// The compiler's own words.
        diagnostics: String,
    },
    /// A library of ours has not been built.
    #[error("there is no {path}; build it: make library")]
    NoLibrary {
        /// Where it should be.
        path: PathBuf,
    },
    /// A tool of binutils does not understand a library.
    #[error("cannot read {path}:\n{diagnostics}")]
    Unreadable {
        /// The library.
        path: PathBuf,
        /// The tool's own words.
        diagnostics: String,
    },
    /// The program, or the compiler, could not be started at all.
    #[error("cannot start {program}")]
    Start {
        /// Command line as far as it matters.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program ended before it answered.
    #[error("{program} ended ({status}) while the test waited for {waiting_for}; it said:\n{said}")]
    Ended {
        /// Command line as far as it matters.
        program: String,
        /// Its exit status.
        status: String,
        /// What the test waited for.
        waiting_for: String,
        /// Its standard error.
        said: String,
    },
    /// The program lives but did not answer in time.
    #[error("{program} gave no {waiting_for} within {patience:?}; it said:\n{said}")]
    Silent {
        /// Command line as far as it matters.
        program: String,
        /// What the test waited for.
        waiting_for: String,
        /// How long the test waited.
        patience: Duration,
        /// Its standard error so far.
        said: String,
    },
}
