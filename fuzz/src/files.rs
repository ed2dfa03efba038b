//! Captures as files in memory.

use std::io::Cursor;
use std::path::Path;

use slackwater_base::Partial;
use slackwater_capture::{Capture, Encoder, Generation, Record, Writer};

/// A capture in these bytes, if it is one.
#[must_use]
pub fn opened(file: &[u8]) -> Option<Partial<Capture<Cursor<&[u8]>>>> {
    Capture::from_reader(Path::new("fuzzed"), Cursor::new(file)).ok()
}

/// A file with these records, of two processes in turn, that has not ended.
#[must_use]
pub fn written(records: &[Record<'_>]) -> Writer<Vec<u8>> {
    let mut writer = Writer::begin(Vec::new(), 1, 2).expect("memory can be written");
    let mut encoder = Encoder::default();
    for (idx, some) in records.chunks(7).enumerate() {
        some.iter().for_each(|record| encoder.put(record));
        let generation = Generation(1 + idx as u32 % 2);
        writer.records(generation, idx as u64, idx as u64, &mut encoder).expect("memory can be written");
    }
    writer
}
