//! An ELF file of the target: headers, sections, contents.
#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use slackwater_remote::ElfFile;

/// Sections whose contents are read: all that a small file has.
const MOST_SECTIONS: usize = 16;

/// A file without a name.
static SCRATCH: LazyLock<File> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("slackwater-fuzz-{}", std::process::id()));
    let file = File::options().create_new(true).read(true).write(true).open(&path).expect("a scratch file");
    std::fs::remove_file(&path).expect("to unlink the scratch file");
    file
});

fuzz_target!(|bytes: &[u8]| {
    SCRATCH.set_len(0).expect("an empty scratch file");
    SCRATCH.write_all_at(bytes, 0).expect("a written scratch file");
    let file = SCRATCH.try_clone().expect("another handle");
    let Ok(elf) = ElfFile::open(file) else { return };
    for section in elf.sections.iter().take(MOST_SECTIONS) {
        if let Ok(contents) = elf.contents(section) {
            assert!(contents.len() <= bytes.len(), "{} bytes in {section:?}", contents.len());
        }
        let _ = elf.section(&section.name);
    }
    for segment in &elf.segments {
        let _ = elf.bias(segment.address, segment.offset);
        let _ = elf.bias(u64::MAX, segment.offset.wrapping_add(segment.file_bytes));
    }
});
