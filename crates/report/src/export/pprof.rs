//! pprof's format: a gzipped protobuf, with all measures at once.
//!
//! The messages are those of `proto/profile.proto` in google/pprof, as far as they are used here. Beside
//! the four sample types that heap profiles have by convention there is `peak_space`: what was live when
//! the processes together held most.

use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use slackwater_base::Gap;
use slackwater_profile::{Code, Frame, Part, ProcessProfile, Profile};

use super::{ExportError, NO_PYTHON, Room, process_name, thread_name};
use crate::allocations::{doubts, endpoint, extent};
use crate::visible;

/// `perftools.profiles.Profile`.
#[derive(Clone, PartialEq, Message)]
pub struct PprofProfile {
    /// What the values of each sample are.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    /// The stacks.
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    /// Lines of code.
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    /// Functions.
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// All texts; the first is empty.
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    /// When the recording began, since 1970.
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    /// How long it was.
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    /// What samples are a distance of.
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    /// Their mean distance.
    #[prost(int64, tag = "12")]
    pub period: i64,
    /// Sentences.
    #[prost(int64, repeated, tag = "13")]
    pub comment: Vec<i64>,
    /// The measure that is shown first.
    #[prost(int64, tag = "14")]
    pub default_sample_type: i64,
}

/// `ValueType`: places of texts.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ValueType {
    /// What it is.
    #[prost(int64, tag = "1")]
    pub r#type: i64,
    /// Its unit.
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// `Sample`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Sample {
    /// Innermost first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    /// One for each sample type.
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    /// Process and thread.
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

/// `Label`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Label {
    /// Its name.
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// Its text, or
    #[prost(int64, tag = "2")]
    pub str: i64,
    /// its number.
    #[prost(int64, tag = "3")]
    pub num: i64,
}

/// `Location`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Location {
    /// Above zero.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// One line.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

/// `Line`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Line {
    /// The function.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    /// Its line.
    #[prost(int64, tag = "2")]
    pub line: i64,
}

/// `Function`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Function {
    /// Above zero.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// The same.
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    /// Its file.
    #[prost(int64, tag = "4")]
    pub filename: i64,
}

/// The document, gzipped.
///
/// # Errors
/// When there is too much to tell.
pub fn pprof(profile: &Profile, gaps: &[Gap]) -> Result<Vec<u8>, ExportError> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&document(profile, gaps)?.encode_to_vec())?;
    Ok(gzip.finish()?)
}

/// Texts, each once.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    ids: HashMap<String, i64>,
}

impl Texts {
    fn id(&mut self, text: &str) -> i64 {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = self.all.len() as i64;
        self.all.push(text.to_owned());
        self.ids.insert(text.to_owned(), id);
        id
    }
}

fn document(profile: &Profile, gaps: &[Gap]) -> Result<PprofProfile, ExportError> {
    let mut room = Room::default();
    let mut texts = Texts::default();
    texts.id("");
    let sample_type = [
        ("alloc_objects", "count"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
        ("peak_space", "bytes"),
    ]
    .map(|(name, unit)| ValueType { r#type: texts.id(name), unit: texts.id(unit) });
    let mut document = PprofProfile {
        sample_type: sample_type.to_vec(),
        time_nanos: profile.anchor.map_or(0, |anchor| {
            let since = profile.span_ns.0.saturating_sub(anchor.monotonic_ns);
            i64::try_from(anchor.wall_ns.saturating_add(since)).unwrap_or(0)
        }),
        duration_nanos: i64::try_from(profile.span_ns.1.saturating_sub(profile.span_ns.0)).unwrap_or(0),
        period_type: Some(ValueType { r#type: texts.id("space"), unit: texts.id("bytes") }),
        period: profile.processes.iter().map(|one| one.sample_mean).max().unwrap_or(0).max(1) as i64,
        default_sample_type: texts.id("peak_space"),
        ..PprofProfile::default()
    };
    let sentences = std::iter::once(format!("slackwater: {}", extent(profile))).chain(doubts(profile, gaps));
    document.comment = sentences.map(|text| texts.id(&text)).collect();
    let no_python =
        Frame { function: NO_PYTHON.to_owned(), file: String::new(), line: 0, code: Code::Python };
    let frames = profile.stacks.distinct_frames().iter().chain([&no_python]);
    let mut functions: HashMap<(&str, &str), u64> = HashMap::new();
    for (frame, id) in frames.zip(1..) {
        let next = functions.len() as u64 + 1;
        let function_id = *functions.entry((&frame.function, &frame.file)).or_insert_with(|| {
            let (name, filename) = (texts.id(&visible(&frame.function)), texts.id(&visible(&frame.file)));
            document.function.push(Function { id: next, name, system_name: name, filename });
            next
        });
        document
            .location
            .push(Location { id, line: vec![Line { function_id, line: i64::from(frame.line) }] });
    }
    for process in &profile.processes {
        let shown = process.parts.iter().filter(|part| part.usage.allocated.bytes >= 0.5);
        for part in shown {
            document.sample.push(sample(profile, process, part, &mut texts, &mut room)?);
        }
    }
    document.string_table = texts.all;
    Ok(document)
}

fn sample(
    profile: &Profile,
    process: &ProcessProfile,
    part: &Part,
    texts: &mut Texts,
    room: &mut Room,
) -> Result<Sample, ExportError> {
    let mut location_id = Vec::new();
    let mut at = part.stack;
    while let Some((parent, frame)) = profile.stacks.node(at) {
        room.take(size_of::<u64>())?;
        location_id.push(frame as u64 + 1);
        at = parent;
    }
    if location_id.is_empty() {
        location_id.push(profile.stacks.distinct_frames().len() as u64 + 1);
    }
    let usage = &part.usage;
    let values =
        [usage.allocated.count, usage.allocated.bytes, usage.live.count, usage.live.bytes, usage.peak.bytes];
    let mut label = vec![
        Label { key: texts.id("process"), str: texts.id(&process_name(process)), num: 0 },
        Label { key: texts.id("pid"), str: 0, num: i64::from(process.pid) },
    ];
    if let Some(thread) = process.threads.get(usize::from(part.thread)) {
        label.push(Label { key: texts.id("thread"), str: texts.id(&thread_name(thread)), num: 0 });
    }
    if let Some(served) = profile.endpoints.get(part.stack) {
        label.push(Label { key: texts.id("endpoint"), str: texts.id(&endpoint(served)), num: 0 });
    }
    Ok(Sample { location_id, value: values.map(|value| value.round() as i64).to_vec(), label })
}
