//! `result.json` in its folder.
//!
//! Invariant: the file is always whole: a new one is written beside it and then takes its place.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{RunError, Setup};
use crate::result::{Experiment, SCHEMA};

/// What the result is called in its folder.
pub const FILE: &str = "result.json";

/// The folder of one experiment, held against other runs.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Locked as long as this lives; the kernel unlocks it when we end in whatever way.
    _lock: File,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, RunError> {
        let failed = |source| RunError::Write { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = File::open(path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(RunError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The result that is there, if it can be gone on with.
    pub(super) fn result(&self, setup: &Setup<'_>) -> Result<Option<Experiment>, RunError> {
        let path = self.path.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let experiment = read(&path)?;
        if experiment.plan != setup.text {
            Err(RunError::OtherPlan { path })
        } else if experiment.slackwater != setup.version {
            Err(RunError::OtherVersion { path, version: experiment.slackwater })
        } else if let Some(body) = changed(&experiment.bodies, &setup.plan.bodies()) {
            Err(RunError::OtherBody { path, body })
        } else {
            Ok(Some(experiment))
        }
    }

    pub(super) fn save(&self, experiment: &Experiment) -> Result<(), RunError> {
        let (new, path) = (self.path.join(".result.json.new"), self.path.join(FILE));
        let written = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            let mut text = serde_json::to_vec(experiment)?;
            text.push(b'\n');
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        written().map_err(|source| RunError::Write { path: path.clone(), source })
    }
}

/// The first file that does not hold what it held.
fn changed(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Option<String> {
    now.iter().find(|(name, held)| then.get(*name) != Some(held)).map(|(name, _)| name.clone())
}

/// Reads a result: the file, or the folder that it is in.
///
/// # Errors
/// When there is none, or none that this version understands.
pub fn read(path: &Path) -> Result<Experiment, RunError> {
    let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    let failed = |source| RunError::Read { path: path.clone(), source };
    let text = fs::read(&path).map_err(failed)?;
    let experiment: Experiment = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
    if experiment.schema != SCHEMA {
        let other = format!("it has schema {}, this version reads {SCHEMA}", experiment.schema);
        return Err(failed(io::Error::other(other)));
    }
    Ok(experiment)
}
