//! Captures of one name: `service.slackwater`, `service.2.slackwater`, ...

use std::path::{Path, PathBuf};

/// Numbers that are tried.
const NUMBERS: u32 = 1_000_000;

/// The capture of this number; the first one has none.
pub(in crate::verbs) fn numbered(path: &Path, number: u32) -> PathBuf {
    if number <= 1 {
        return path.to_path_buf();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The first number from `number` on whose capture is not there.
pub(in crate::verbs) fn free(path: &Path, number: u32) -> u32 {
    let is_free = |&number: &u32| numbered(path, number).symlink_metadata().is_err();
    (number..NUMBERS).find(is_free).unwrap_or(NUMBERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stands_before_the_ending() {
        let check = |path: &str, number, expected: &str| {
            assert_eq!(numbered(Path::new(path), number), Path::new(expected));
        };
        check("/a/it.slackwater", 1, "/a/it.slackwater");
        check("/a/it.slackwater", 2, "/a/it.2.slackwater");
        check("it", 12, "it.12");
    }
}
