//! The files that verbs write: created anew, readable for their owner only, never through a link.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::slackwater;

/// Every verb that writes a file, with its options; `FILE` is where.
const WRITERS: [&[&str]; 4] = [
    &["record", "-o", "FILE", "--", "true"],
    &["flamegraph", "-o", "FILE", "it"],
    &["export", "--format", "speedscope", "-o", "FILE", "it"],
    &["export", "--format", "pprof", "-o", "FILE", "it"],
];

fn write(folder: &Path, words: &[&str], file: &str, is_forced: bool) -> (i32, String) {
    let mut words: Vec<&str> = words.iter().map(|&word| if word == "FILE" { file } else { word }).collect();
    if is_forced {
        words.insert(1, "--force");
    }
    let (code, _, said) = slackwater(folder, &words);
    (code, said)
}

#[test]
fn fault_34_files_are_created_anew_and_never_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, said) = slackwater(folder.path(), &["record", "-o", "it", "--", "true"]);
    assert_eq!(code, 0, "{said}");
    for words in WRITERS {
        let somebodys = folder.path().join("somebodys");
        std::fs::write(&somebodys, "theirs").unwrap();
        let is_untouched = || std::fs::read_to_string(&somebodys).unwrap() == "theirs";
        let (file, there) = ("out", folder.path().join("out"));

        // A link to a file, and one to a place where nothing is yet.
        for target in ["somebodys", "not-there"] {
            symlink(target, &there).unwrap();
            let (code, said) = write(folder.path(), words, file, false);
            assert!(code == 2 && said.contains("--force"), "{words:?}: {said}");
            assert!(is_untouched() && !folder.path().join("not-there").exists(), "{words:?}");
            // The link is replaced, not followed.
            let (code, said) = write(folder.path(), words, file, true);
            assert_eq!(code, 0, "{words:?}: {said}");
            assert!(is_untouched() && !folder.path().join("not-there").exists(), "{words:?}");
            let data = there.symlink_metadata().unwrap();
            assert!(data.is_file() && data.permissions().mode() & 0o777 == 0o600, "{words:?}: {data:?}");
            std::fs::remove_file(&there).unwrap();
        }
        // A file of the same name: whoever has it open keeps it as it was.
        std::fs::hard_link(&somebodys, &there).unwrap();
        assert_eq!(write(folder.path(), words, file, false).0, 2);
        assert_eq!(write(folder.path(), words, file, true).0, 0);
        assert!(is_untouched(), "{words:?}");
        assert_ne!(there.metadata().unwrap().ino(), somebodys.metadata().unwrap().ino());
        assert_eq!(there.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&there).unwrap();
        // What is no file stays what it is.
        std::fs::create_dir(&there).unwrap();
        for is_forced in [false, true] {
            assert_eq!(write(folder.path(), words, file, is_forced).0, 2, "{words:?}");
        }
        std::fs::remove_dir(&there).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &there,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let (code, said) = write(folder.path(), words, file, true);
        assert!(code == 2 && said.contains("is no file"), "{words:?}: {said}");
        std::fs::remove_file(&there).unwrap();
    }
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["it", "somebodys"]);
}
