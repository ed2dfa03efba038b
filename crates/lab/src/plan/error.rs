//! Why a text is no plan: which line, which key, and what would be right.

use std::path::PathBuf;

use slackwater_tune::settings::SettingError;

use super::read::MOST_BYTES;

/// Why a text is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// It is longer than any plan.
    #[error("{length} bytes are too many for a plan; {MOST_BYTES} are the most")]
    TooBig {
        /// How long it is.
        length: usize,
    },
    /// It is no text.
    #[error("line {line} is not UTF-8")]
    NotText {
        /// The line of the first byte that is wrong.
        line: usize,
    },
    /// It is not TOML.
    #[error("line {line}: not TOML: {message}")]
    Syntax {
        /// The line.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that nothing reads.
    #[error("line {line}: {place} has no key '{key}'")]
    UnknownKey {
        /// The line of the key.
        line: usize,
        /// The table it stands in.
        place: String,
        /// The key.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
        /// Those that there are.
        keys: &'static [&'static str],
    },
    /// A key that has to be there.
    #[error("line {line}: {place} lacks '{key}'")]
    Missing {
        /// The line where the table begins.
        line: usize,
        /// The table.
        place: String,
        /// The key.
        key: &'static str,
        /// What it may be.
        accepted: &'static str,
    },
    /// A value that its key does not take.
    #[error("line {line}: {key} is {found}")]
    Value {
        /// The line of the value.
        line: usize,
        /// The key, with the tables around it.
        key: String,
        /// What stands there.
        found: String,
        /// What is accepted.
        accepted: String,
    },
    /// A setting that the allocator does not have, or not with that value.
    #[error("line {line}: {source}")]
    Setting {
        /// The line of the setting.
        line: usize,
        /// What is wrong with it.
        source: SettingError,
    },
    /// Values that are right each, and wrong together.
    #[error("line {line}: {what}")]
    Conflict {
        /// The line of the later one.
        line: usize,
        /// What contradicts what.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A file that the plan names.
    #[error("line {line}: cannot read {}", path.display())]
    ReadFile {
        /// The line that names it.
        line: usize,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl PlanError {
    /// The line that is wrong, from 1; `None` where it is the whole.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::TooBig { .. } => None,
            Self::NotText { line }
            | Self::Syntax { line, .. }
            | Self::UnknownKey { line, .. }
            | Self::Missing { line, .. }
            | Self::Value { line, .. }
            | Self::Setting { line, .. }
            | Self::Conflict { line, .. }
            | Self::ReadFile { line, .. } => Some(*line),
        }
    }

    /// What to write instead.
    pub fn hint(&self) -> String {
        match self {
            Self::TooBig { .. } | Self::NotText { .. } | Self::Syntax { .. } => {
                "slackwater lab init writes a plan to begin with".to_owned()
            }
            Self::UnknownKey { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Self::UnknownKey { keys, .. } => format!("it may have {}", keys.join(", ")),
            Self::Missing { key, accepted, .. } => format!("{key} is {accepted}"),
            Self::Value { key, accepted, .. } => format!("{key} is {accepted}"),
            Self::Setting { source, .. } => source.hint(),
            Self::Conflict { hint, .. } => hint.clone(),
            Self::ReadFile { .. } => "paths count from the folder that the plan is in".to_owned(),
        }
    }
}
