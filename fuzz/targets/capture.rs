//! A capture: as a file of any bytes behind its magic number, and as records of any bytes, which are
//! written to a sound file and must come back from it.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use slackwater_base::Partial;
use slackwater_capture::{Capture, Decoder, Record, format};
use slackwater_fuzz::{opened, written};
use slackwater_profile::{Profile, Window};

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, rest)) = bytes.split_first() else { return };
    if how & 1 == 0 {
        let file = [&format::MAGIC, rest].concat();
        let Some(mut capture) = opened(&file) else { return };
        let n_bytes: u64 =
            capture.value.index().frames.iter().map(|one| u64::from(one.header.raw_bytes)).sum();
        let mut n_records = 0;
        capture.value.play(|_, _| n_records += 1).expect("memory can be read");
        assert!(n_records <= n_bytes, "{n_records} records of {n_bytes} bytes");
        add_up(&file);
    } else {
        let whole: Vec<Record<'_>> = Decoder::new(rest).map_while(Result::ok).collect();
        assert!(whole.len() <= rest.len());
        let file = written(&whole).end(3).expect("memory can be written");
        let capture = opened(&file).expect("a sound file");
        assert!(capture.gaps.is_empty(), "{:?}", capture.gaps);
        let read = records(capture);
        assert_eq!(read, whole);
        add_up(&file);
    }
});

fn records(mut capture: Partial<Capture<Cursor<&[u8]>>>) -> Vec<Record<'static>> {
    let mut records = Vec::new();
    let played = capture.value.play(|_, record| records.push(record.clone().into_owned()));
    played.expect("memory can be read");
    records
}

/// Adds everything up, as reports do.
fn add_up(file: &[u8]) {
    if let Some(capture) = opened(file) {
        let profile = Profile::of(capture, Window::default()).expect("memory can be read").value;
        let total = profile.total();
        assert!(total.allocated.bytes >= 0.0 && total.live.bytes >= 0.0);
    }
}
