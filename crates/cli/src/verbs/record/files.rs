//! The files of a recording: one, one that is kept below a size, or one after the other.

use std::fs::File;
use std::path::{Path, PathBuf};

use slackwater_collect::{CollectError, Collector};

use super::capped::Capped;
use super::rotation::Rotation;
use crate::args::FileArgs;
use crate::printer::Printer;

/// Where a recording goes.
pub(in crate::verbs) struct Files {
    first: PathBuf,
    kind: Kind,
}

enum Kind {
    One,
    Capped(Capped),
    Rotated(Rotation),
}

impl Files {
    /// As the arguments say, from this one on; whether others may be there already.
    pub(in crate::verbs) fn new(args: &FileArgs, first: &Path, overwrite: bool) -> Self {
        let kind = match (args.rotate, args.max_size) {
            (Some(full), _) => Kind::Rotated(Rotation::new(full, args.keep, first, overwrite)),
            (None, Some(most)) => Kind::Capped(Capped::new(most, first)),
            (None, None) => Kind::One,
        };
        Self { first: first.to_path_buf(), kind }
    }

    /// Makes a collector ready for them.
    pub(in crate::verbs) fn prepare(&self, collector: Collector<File>) -> Collector<File> {
        match &self.kind {
            Kind::One => collector,
            Kind::Capped(capped) => collector.at_most(capped.most_bytes()),
            Kind::Rotated(_) => collector.rotating(),
        }
    }

    /// Goes on in another file when it is time; before each turn.
    ///
    /// # Errors
    /// When recording cannot go on.
    pub(in crate::verbs) fn step(
        &mut self,
        collector: &mut Collector<File>,
        printer: &Printer,
    ) -> Result<(), CollectError> {
        match &mut self.kind {
            Kind::One => Ok(()),
            Kind::Capped(capped) => capped.step(collector, printer),
            Kind::Rotated(rotation) => rotation.step(collector, printer),
        }
    }

    /// The file that is being written.
    pub(in crate::verbs) fn newest(&self) -> &Path {
        match &self.kind {
            Kind::Rotated(rotation) => rotation.newest(),
            Kind::One | Kind::Capped(_) => &self.first,
        }
    }
}
