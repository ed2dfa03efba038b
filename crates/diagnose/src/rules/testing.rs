//! A small language for the facts that rules are tested on.

use std::time::Duration;

use slackwater_base::{Addr, Class, Ledger, Pid, PinReason, PinnedBy, Resident};
use slackwater_heap::{Allocator, Arena, ArenaKind, Blocks, GlibcSettings, GlibcVersion, Heap};

use super::Facts;
use crate::advice::Target;
use crate::service::{Command, Form, Member, Service};
use crate::{
    Cgroup, Diagnosis, Growth, HeapReport, Jemalloc, Malloc, MallocKind, ObjectAllocator, ProcessReport,
    PythonReport, Role, Scope, ServiceReport, Sharing, Slope, Subject, Trend,
};

pub(crate) const MIB: u64 = 1 << 20;

/// A service in the making.
pub(crate) struct Scene {
    name: String,
    processes: Vec<ProcessReport>,
    cgroup: Option<Cgroup>,
    growth: Option<Growth>,
}

/// A service of one process that holds nothing yet.
pub(crate) fn scene() -> Scene {
    Scene {
        name: "gunicorn".to_owned(),
        processes: vec![process(1, Role::Single)],
        cgroup: None,
        growth: None,
    }
}

fn process(pid: i32, role: Role) -> ProcessReport {
    ProcessReport {
        pid: Pid(pid),
        parent: Pid(0),
        start_ticks: 0,
        role,
        command: "gunicorn app:app".to_owned(),
        python: None,
        malloc: Malloc { kind: MallocKind::Glibc, version: None, library: None, others: Vec::new() },
        jemalloc: None,
        slackwater: None,
        n_threads: 1,
        rss_bytes: 0,
        pss_bytes: None,
        uss_bytes: None,
        swap_bytes: 0,
        huge_bytes: 0,
        lazy_free_bytes: 0,
        ledger: Ledger::default(),
        pinned_by: PinnedBy::default(),
        heaps: Vec::new(),
        scope: Scope::Heaps,
        gaps: Vec::new(),
    }
}

impl Scene {
    /// The process that is being described: the last one.
    fn last(&mut self) -> &mut ProcessReport {
        self.processes.last_mut().expect("a scene has a process")
    }

    fn with(mut self, change: impl FnOnce(&mut ProcessReport)) -> Self {
        change(self.last());
        self
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// Bytes of a class, in no other process.
    pub(crate) fn class(self, class: Class, bytes: u64) -> Self {
        self.with(|process| process.ledger[class] += Resident { process: bytes, service: bytes })
    }

    /// Bytes of a class that another process maps as well.
    pub(crate) fn shared(self, class: Class, bytes: u64) -> Self {
        self.with(|process| process.ledger[class] += Resident { process: bytes, service: 0 })
    }

    pub(crate) fn pinned(self, reason: PinReason, bytes: u64) -> Self {
        self.with(|process| process.pinned_by[reason] += Resident { process: bytes, service: bytes })
            .class(Class::SlackPinned, bytes)
    }

    /// A glibc heap whose trimmable slack, as described so far, lies in `arenas` secondary arenas.
    pub(crate) fn glibc(self, settings: GlibcSettings, arenas: usize) -> Self {
        self.with(|process| {
            let mut arena = Arena::new(Addr(0), ArenaKind::Secondary);
            let bytes = process.ledger[Class::SlackTrimmable].service / arenas as u64;
            arena.ledger[Class::SlackTrimmable] = Resident { process: bytes, service: bytes };
            let version = GlibcVersion { major: 2, minor: 36 };
            process.heaps.push(HeapReport {
                heap: Heap {
                    allocator: Allocator::Glibc { version, settings },
                    arenas: vec![arena; arenas],
                    ledger: Ledger::default(),
                    pinned_by: PinnedBy::default(),
                    live: Blocks::default(),
                    claims: Vec::new(),
                },
            });
        })
    }

    /// The heap of our library, read.
    pub(crate) fn slackwater(self) -> Self {
        self.with(|process| {
            process.heaps.push(HeapReport {
                heap: Heap {
                    allocator: Allocator::Slackwater { library: "0.1.0".to_owned() },
                    arenas: vec![Arena::new(Addr(0), ArenaKind::Jemalloc)],
                    ledger: Ledger::default(),
                    pinned_by: PinnedBy::default(),
                    live: Blocks::default(),
                    claims: Vec::new(),
                },
            });
        })
    }

    pub(crate) fn role(self, role: Role) -> Self {
        self.with(|process| process.role = role)
    }

    pub(crate) fn malloc(self, kind: MallocKind) -> Self {
        self.with(|process| process.malloc.kind = kind)
    }

    pub(crate) fn jemalloc(self, jemalloc: Jemalloc) -> Self {
        self.with(|process| process.jemalloc = Some(jemalloc))
    }

    pub(crate) fn python(self, version: (u8, u8, u8)) -> Self {
        self.with(|process| {
            let objects = ObjectAllocator::Pymalloc;
            process.python = Some(PythonReport {
                version,
                text: String::new(),
                objects,
                free_threaded: false,
                debug: false,
            });
        })
    }

    pub(crate) fn huge(self, bytes: u64) -> Self {
        self.with(|process| process.huge_bytes = bytes)
    }

    pub(crate) fn swap(self, bytes: u64) -> Self {
        self.with(|process| process.swap_bytes = bytes)
    }

    pub(crate) fn private(self, bytes: u64) -> Self {
        self.with(|process| process.uss_bytes = Some(bytes))
    }

    pub(crate) fn cgroup(mut self, group: Cgroup) -> Self {
        self.cgroup = Some(group);
        self
    }

    /// One more process, a worker.
    pub(crate) fn worker(mut self, describe: impl FnOnce(Self) -> Self) -> Self {
        let pid = self.processes.len() as i32 + 1;
        self.processes.push(process(pid, Role::Worker));
        describe(self)
    }

    /// Watched for a minute, `subject` rose by `rate` bytes each second.
    pub(crate) fn grows(mut self, subject: Subject, rate: f64) -> Self {
        let trend = if rate > 0.0 { Trend::Grows } else { Trend::Flat };
        let growth = self.growth.get_or_insert_with(|| Growth {
            duration: Duration::from_secs(60),
            n_samples: 30,
            slopes: Vec::new(),
        });
        growth.slopes.push(Slope {
            subject,
            pid: None,
            bytes_per_second: rate,
            low: rate * 0.9,
            high: rate * 1.1,
            gained_bytes: (rate * 60.0) as i64,
            trend,
        });
        self
    }

    /// What a rule finds in the scene.
    pub(crate) fn found<T>(mut self, rule: impl FnOnce(&Facts<'_>) -> T) -> T {
        for process in &mut self.processes {
            process.rss_bytes = process.ledger.total().process;
        }
        let service = self.service();
        let report = ServiceReport::of(&service, &self.processes, self.cgroup.take(), Sharing::Frames);
        let target = Target::of(&service);
        let growth = self.growth.as_ref();
        rule(&Facts { service: &report, processes: &self.processes, growth, target: &target })
    }

    /// The whole diagnosis, without what watching adds.
    pub(crate) fn concluded(mut self) -> Diagnosis {
        let service = self.service();
        let cgroup = self.cgroup.take();
        crate::conclude(&service, self.processes, cgroup, Sharing::Frames, None, Vec::new())
    }

    fn service(&self) -> Service {
        let member = |process: &ProcessReport| Member {
            pid: process.pid,
            parent: process.parent,
            start_ticks: process.start_ticks,
            role: process.role,
            command: Command {
                program: self.name.clone(),
                app: Some("app:app".to_owned()),
                form: Form::Plain,
                python: true,
            },
        };
        Service {
            name: self.name.clone(),
            app: Some("app:app".to_owned()),
            members: self.processes.iter().map(member).collect(),
        }
    }
}
