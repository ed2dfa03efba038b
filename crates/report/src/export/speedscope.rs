//! speedscope's own format: one profile for each process, weighed in bytes.
//!
//! <https://www.speedscope.app/file-format-schema.json>, as speedscope 1.25 has it.

use serde::Serialize;
use slackwater_profile::{ProcessProfile, Profile};

use super::{ExportError, NO_PYTHON, Room, process_name};
use crate::allocations::Measure;
use crate::visible;

#[derive(Serialize)]
struct File {
    #[serde(rename = "$schema")]
    schema: &'static str,
    name: String,
    exporter: String,
    shared: Shared,
    profiles: Vec<Sampled>,
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<SharedFrame>,
}

#[derive(Serialize)]
struct SharedFrame {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled {
    r#type: &'static str,
    name: String,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

/// Bytes of one place of a stack, here and in the document: no more digits than that.
const PLACE_BYTES: usize = size_of::<usize>();

/// The document.
///
/// # Errors
/// When there is too much to tell.
pub fn speedscope(name: &str, profile: &Profile, measure: Measure) -> Result<String, ExportError> {
    let mut room = Room::default();
    let mut frames: Vec<SharedFrame> = profile
        .stacks
        .distinct_frames()
        .iter()
        .map(|frame| SharedFrame {
            name: visible(&frame.function).into_owned(),
            file: (!frame.file.is_empty()).then(|| visible(&frame.file).into_owned()),
            line: (frame.line > 0).then_some(frame.line),
        })
        .collect();
    frames.push(SharedFrame { name: NO_PYTHON.to_owned(), file: None, line: None });
    let mut profiles = Vec::new();
    for process in &profile.processes {
        profiles.extend(sampled(profile, process, measure, &mut room)?);
    }
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        name: format!("{}: bytes {}", visible(name), measure.title()),
        exporter: concat!("slackwater ", env!("CARGO_PKG_VERSION")).to_owned(),
        shared: Shared { frames },
        profiles,
    };
    // Writing into a string fails only where a value cannot be written, and these all can.
    Ok(serde_json::to_string(&file).unwrap_or_default())
}

fn sampled(
    profile: &Profile,
    process: &ProcessProfile,
    measure: Measure,
    room: &mut Room,
) -> Result<Option<Sampled>, ExportError> {
    let no_python = profile.stacks.distinct_frames().len();
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    for part in &process.parts {
        let bytes = measure.of(&part.usage).bytes.round() as u64;
        if bytes == 0 {
            continue;
        }
        let mut places = Vec::new();
        let mut at = part.stack;
        while let Some((parent, frame)) = profile.stacks.node(at) {
            room.take(PLACE_BYTES)?;
            places.push(frame);
            at = parent;
        }
        places.reverse();
        samples.push(if places.is_empty() { vec![no_python] } else { places });
        weights.push(bytes);
    }
    Ok((!weights.is_empty()).then(|| Sampled {
        r#type: "sampled",
        name: process_name(process),
        unit: "bytes",
        start_value: 0,
        end_value: weights.iter().sum(),
        samples,
        weights,
    }))
}
