//! A recording made of the fuzzer's bytes: whatever they are, it is one that a recorder could have written.
//!
//! The first byte says how it is recorded; then come records of one length, so that the fuzzer's cutting and
//! splicing keeps most of them whole.
//!
//! ```text
//! what and which thread, 1 byte │ who and from which stack, 1 byte │ where, 1 byte │ how much, 1 byte
//! ```

use slackwater_capture::{Allocation, Encoder, Ending, Generation, Measure, Record, Writer};

/// Bytes of one record.
const RECORD_BYTES: usize = 4;
/// Processes at a time.
const N_PLACES: usize = 4;
/// Mean distance of samples, in recordings that have samples.
const MEAN_BYTES: u64 = 4 << 10;
const PAGE_BYTES: u64 = 4 << 10;

/// A recording.
pub struct History {
    /// The capture, without an end.
    pub capture: Vec<u8>,
    /// Whether every event is in it as it was.
    pub is_exact: bool,
}

/// The recording that `bytes` make.
pub fn history(bytes: &[u8]) -> History {
    let Some((&how, rest)) = bytes.split_first() else {
        return History { capture: Vec::new(), is_exact: true };
    };
    let mut recorder = Recorder::begin(if how & 1 == 0 { 0 } else { MEAN_BYTES });
    for &[what, who, place, size] in rest.as_chunks::<RECORD_BYTES>().0 {
        recorder.step(what, who, place, size);
    }
    recorder.finish()
}

/// One process while it lives.
struct Process {
    generation: Generation,
    encoder: Encoder,
    first_ns: u64,
    told_ns: u64,
    n_stacks: u32,
    samples: bool,
}

struct Recorder {
    writer: Writer<Vec<u8>>,
    processes: [Option<Process>; N_PLACES],
    n_born: u32,
    now_ns: u64,
    mean: u64,
    is_exact: bool,
}

impl Recorder {
    fn begin(mean: u64) -> Self {
        let mut writer = Writer::begin(Vec::new(), 5, 1).expect("memory can be written");
        let mut encoder = Encoder::default();
        encoder.put(&Record::At(1));
        encoder.put(&Record::Fact { key: "kernel".into(), value: "6.1".into() });
        writer.records(Generation::RECORDING, 1, 1, &mut encoder).expect("memory can be written");
        let processes = [const { None }; N_PLACES];
        Self { writer, processes, n_born: 0, now_ns: 1, mean, is_exact: mean == 0 }
    }

    fn step(&mut self, what: u8, who: u8, place: u8, size: u8) {
        let (stack, tid) = (u32::from(who >> 2), 1 + u32::from(what >> 4));
        let number = usize::from(who) % N_PLACES;
        let (addr, pages) = (0x1000 + u64::from(place) * 16, (1 << 40) + u64::from(place) * PAGE_BYTES);
        match what % 16 {
            0..=4 => {
                let sampled = self.process(number).samples;
                let size = 1 + u64::from(size) * 37;
                let measure = Measure::Malloc;
                self.put(
                    number,
                    &Record::Allocation(Allocation { measure, sampled, addr, size, stack, tid }),
                );
            }
            5 | 6 => self.put(number, &Record::Free { addr, tid }),
            7 => {
                let (measure, size) = (Measure::Mapping, (1 + u64::from(size) % 8) * PAGE_BYTES);
                let mapping = Allocation { measure, sampled: false, addr: pages, size, stack, tid };
                self.put(number, &Record::Allocation(mapping));
            }
            8 => self
                .put(number, &Record::Unmapped { addr: pages, size: (1 + u64::from(size) % 8) * PAGE_BYTES }),
            9 => self.now_ns += 1 + (u64::from(size) << (place % 32)),
            10 => self.flush(number),
            11 => {
                let id = self.process(number).n_stacks + 1;
                self.process(number).n_stacks = id;
                let location = u32::from(size) % 8;
                let (function, file) = (format!("f{location}").into(), "it.py".into());
                self.put(number, &Record::Location { id: location, line: 1, function, file });
                self.put(number, &Record::Stack { id, parent: u32::from(place) % id, location });
            }
            12 => self.put(number, &Record::Resident(u64::from(size) * PAGE_BYTES)),
            13 => self.put(number, &Record::Lost(size.into())),
            14 if size.is_multiple_of(4) && self.mean == 0 && !self.process(number).samples => {
                (self.process(number).samples, self.is_exact) = (true, false);
                self.put(number, &Record::Degraded(MEAN_BYTES));
            }
            14 => {
                let how = u32::from(size);
                let ending = [Ending::Gone, Ending::Exit(how), Ending::Signal(how), Ending::Exec];
                self.put(number, &Record::Ended(ending[usize::from(place) % ending.len()]));
                self.flush(number);
                self.processes[number] = None;
            }
            _ => self.mark(size),
        }
    }

    /// The process at this place; one is born there where none is.
    fn process(&mut self, number: usize) -> &mut Process {
        let (now_ns, mean) = (self.now_ns, self.mean);
        let parent = self.processes[0].as_ref().map(|process| process.generation);
        let n_born = &mut self.n_born;
        self.processes[number].get_or_insert_with(|| {
            *n_born += 1;
            let program = ["python3", "sh"][number % 2].into();
            let mut encoder = Encoder::default();
            encoder.put(&Record::At(now_ns));
            encoder.put(&Record::Born { pid: 100 + *n_born, parent, sample_mean: mean, program });
            let generation = Generation(*n_born);
            Process { generation, encoder, first_ns: now_ns, told_ns: now_ns, n_stacks: 0, samples: mean > 0 }
        })
    }

    fn put(&mut self, number: usize, record: &Record<'_>) {
        let now_ns = self.now_ns;
        let process = self.process(number);
        if process.encoder.n_records() == 0 {
            (process.first_ns, process.told_ns) = (now_ns, 0);
        }
        if process.told_ns < now_ns {
            process.told_ns = now_ns;
            process.encoder.put(&Record::At(now_ns));
        }
        process.encoder.put(record);
    }

    fn flush(&mut self, number: usize) {
        let Some(process) = &mut self.processes[number] else { return };
        let (generation, first_ns) = (process.generation, process.first_ns);
        let written = self.writer.records(generation, first_ns, process.told_ns, &mut process.encoder);
        written.expect("memory can be written");
    }

    fn mark(&mut self, name: u8) {
        let mut encoder = Encoder::default();
        encoder.put(&Record::At(self.now_ns));
        encoder.put(&Record::Mark(format!("mark {name}").into()));
        let marked = self.writer.records(Generation::RECORDING, self.now_ns, self.now_ns, &mut encoder);
        marked.expect("memory can be written");
    }

    fn finish(mut self) -> History {
        (0..N_PLACES).for_each(|number| self.flush(number));
        History { capture: self.writer.leave(), is_exact: self.is_exact }
    }
}
