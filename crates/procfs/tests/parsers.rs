//! The parsers take any bytes: they never panic, and never say more than they were given.

use proptest::prelude::*;
use slackwater_procfs::{
    Lines, Membership, Mounts, SmapsReader, Stat, Status, Syscall, parse_maps_line, read_maps,
};

/// Text made of the pieces that the formats are made of, in any order.
fn like_proc() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"1000-2000",
        b"ffffffffffffffff-0",
        b"7f00-7f01",
        b" rw-p ",
        b" r--s ",
        b"00:00",
        b"fe:01",
        b" 0 ",
        b"[heap]",
        b"[anon:",
        b"]",
        b"[anon_shmem:x]",
        b"/dev/zero",
        b"/memfd:x",
        b" (deleted)",
        b"\\012",
        b"\n",
        b" ",
        b"\t",
        b":",
        b"-",
        b"Rss:",
        b"Swap: 18446744073709551615 kB",
        b"VmFlags: ht io",
        b"NSpid: 1 2",
        b"Uid: 1 2 3 4",
        b"(",
        b")",
        b" S ",
        b"-1",
        b"18446744073709551616",
        b"\xff\xfe",
        b"\0",
        b"0::",
        b"memory",
        b"cgroup",
        b" - tmpfs tmpfs rw",
        b"0x1",
        b"running",
    ];
    proptest::collection::vec(proptest::sample::select(pieces), 0..60).prop_map(|parts| parts.concat())
}

fn anything() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![like_proc(), proptest::collection::vec(any::<u8>(), 0..400)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_them_panic(text in anything()) {
        let lines = text.split(|byte| *byte == b'\n').count();
        let mounts = Mounts::read(&text[..]).unwrap_or_default();
        prop_assert!(mounts.iter().count() <= lines);
        let _ = parse_maps_line(&text, &mounts);
        if let Ok(mappings) = read_maps(&text[..], &mounts) {
            prop_assert!(mappings.len() <= lines);
            prop_assert!(mappings.is_sorted_by(|one, next| one.range.end <= next.range.start));
        }
        prop_assert!(SmapsReader::new(&text[..]).count() <= lines);
        let _ = Stat::parse(&text);
        prop_assert!(Status::parse(&text).ns_pids.len() <= text.len());
        let _ = Membership::parse(&text);
        let _ = Syscall::parse(&text);
    }

    #[test]
    fn lines_together_are_the_text(text in proptest::collection::vec(
        prop_oneof![Just(b'\n'), any::<u8>()], 0..2000,
    )) {
        let mut lines = Lines::new(&text[..]);
        let mut joined = Vec::new();
        while let Ok(Some(line)) = lines.next_line() {
            joined.extend_from_slice(line);
            joined.push(b'\n');
        }
        let mut expected = text.clone();
        if expected.last().is_some_and(|byte| *byte != b'\n') {
            expected.push(b'\n');
        }
        prop_assert_eq!(joined, expected);
    }

    #[test]
    fn a_name_without_line_feeds_survives(name in "/[^\n\\\\]{0,60}") {
        prop_assume!(!name.ends_with(" (deleted)") && name.trim_end() == name);
        let line = format!("1000-2000 r--p 00000000 fe:01 5      {name}");
        let mapping = parse_maps_line(line.as_bytes(), &Mounts::default());
        prop_assert_eq!(mapping.as_ref().and_then(|mapping| mapping.path()), Some(name.as_ref()));
    }
}
