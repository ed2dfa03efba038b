//! Captures made record by record.

use std::io::Cursor;
use std::path::Path;

use slackwater_base::Partial;
use slackwater_capture::{Allocation, Capture, Encoder, Ending, Generation, Measure, Record, Writer};
use slackwater_profile::Profile;

const SECOND: u64 = 1_000_000_000;

/// A recording under construction.
pub(crate) struct Recording {
    writer: Writer<Vec<u8>>,
    encoder: Encoder,
    generation: u32,
    n_names: u32,
    n_blocks: u64,
    now_ns: u64,
    sample_mean: u64,
}

impl Recording {
    pub(crate) fn new() -> Self {
        let writer = Writer::begin(Vec::new(), 0, 0).unwrap();
        let encoder = Encoder::default();
        Self { writer, encoder, generation: 0, n_names: 0, n_blocks: 0, now_ns: SECOND, sample_mean: 0 }
    }

    /// The next process; what comes is of it.
    pub(crate) fn process(&mut self, program: &str, sample_mean: u64) {
        self.flush();
        self.generation += 1;
        (self.now_ns, self.n_names, self.sample_mean) = (SECOND, 0, sample_mean);
        let pid = 100 + self.generation;
        let parent = None;
        self.put(&Record::Born { pid, parent, sample_mean, program: program.into() });
        self.put(&Record::Thread { tid: pid, name: "main".into() });
        self.at(1.0);
    }

    pub(crate) fn at(&mut self, seconds: f64) {
        self.now_ns = (seconds * SECOND as f64) as u64;
        self.put(&Record::At(self.now_ns));
    }

    pub(crate) fn put(&mut self, record: &Record<'_>) {
        self.encoder.put(record);
        if self.encoder.bytes().len() > 1 << 20 {
            self.flush();
        }
    }

    /// One call on top of a stack; 0 is the empty one.
    pub(crate) fn call(&mut self, parent: u32, function: &str, file: &str, line: u32) -> u32 {
        self.n_names += 1;
        let id = self.n_names;
        self.put(&Record::Location { id, line, function: function.into(), file: file.into() });
        self.put(&Record::Stack { id, parent, location: id });
        id
    }

    /// A block; what it is freed by.
    pub(crate) fn take(&mut self, stack: u32, size: u64) -> u64 {
        self.n_blocks += 1;
        let addr = self.n_blocks * 64;
        let sampled = self.sample_mean > 0;
        let tid = 100 + self.generation;
        let measure = Measure::Malloc;
        self.put(&Record::Allocation(Allocation { measure, sampled, addr, size, stack, tid }));
        addr
    }

    pub(crate) fn give(&mut self, addr: u64) {
        self.put(&Record::Free { addr, tid: 100 + self.generation });
    }

    fn flush(&mut self) {
        self.writer.records(Generation(self.generation), SECOND, self.now_ns, &mut self.encoder).unwrap();
    }

    /// A moment with a name.
    pub(crate) fn mark(&mut self, seconds: f64, name: &str) {
        self.flush();
        let ns = (seconds * SECOND as f64) as u64;
        self.encoder.put(&Record::At(ns));
        self.encoder.put(&Record::Mark(name.into()));
        self.writer.records(Generation::RECORDING, ns, ns, &mut self.encoder).unwrap();
    }

    pub(crate) fn read(mut self) -> Partial<Profile> {
        self.flush();
        let bytes = self.writer.end(self.now_ns).unwrap();
        let capture = Capture::from_reader(Path::new("it"), Cursor::new(bytes)).unwrap();
        Profile::over_time(capture).unwrap()
    }
}

/// A service of two workers: one holds most for a while, the other keeps.
pub(crate) fn service() -> Partial<Profile> {
    let mut it = Recording::new();
    it.process("gunicorn", 0);
    let main = it.call(0, "<module>", "/srv/app.py", 3);
    let burst = it.call(main, "burst", "/srv/app.py", 17);
    let parse = it.call(burst, "loads", "/usr/lib/python3.11/json/decoder.py", 355);
    it.put(&Record::Resident(90_000_000));
    let blocks: Vec<u64> = (0..8).map(|_| it.take(parse, 10_000_000)).collect();
    it.at(4.0);
    blocks.into_iter().for_each(|block| it.give(block));
    it.put(&Record::Resident(30_000_000));
    it.at(10.0);
    it.take(main, 1_000_000);
    it.put(&Record::Ended(Ending::Outlived));
    it.process("gunicorn", 512 << 10);
    let main = it.call(0, "<module>", "/srv/app.py", 3);
    let keep = it.call(main, "remember", "/usr/lib/python3/site-packages/cache.py", 8);
    for second in 1..10 {
        it.at(f64::from(second) + 0.5);
        (0..4).for_each(|_| _ = it.take(keep, 700_000));
        it.take(0, 400_000);
    }
    it.put(&Record::Ended(Ending::Exit(0)));
    it.mark(4.0, "the burst is over");
    it.read()
}

/// A worker that answers requests by two endpoints, and does something else besides.
pub(crate) fn served() -> Partial<Profile> {
    const FLASK: &str = "/srv/lib/python3.11/site-packages/flask/app.py";
    let mut it = Recording::new();
    it.process("gunicorn", 0);
    let app = it.call(0, "Flask.wsgi_app", FLASK, 1);
    let dispatch = it.call(app, "Flask.dispatch_request", FLASK, 2);
    let orders = it.call(dispatch, "orders", "/srv/shop.py", 10);
    let query = it.call(orders, "query", "/srv/store.py", 5);
    let items = it.call(dispatch, "items", "/srv/shop.py", 20);
    let other_line = it.call(dispatch, "orders", "/srv/shop.py", 12);
    it.take(query, 2_000_000);
    it.take(other_line, 1_000_000);
    it.take(items, 1_000_000);
    it.take(app, 500_000);
    it.take(0, 250_000);
    it.read()
}
