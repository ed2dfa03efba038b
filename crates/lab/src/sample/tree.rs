//! The processes below a keeper, with handles on what is read of them again and again.
//!
//! Invariant: what was used never shrinks, and nothing is counted twice: parents are read before their
//! children, so that one which ends in between is missing until the next look, never in both.

use std::fs::File;
use std::os::unix::fs::FileExt;

use slackwater_base::Pid;
use slackwater_procfs::{Process, Root, Stat, State};

/// Most bytes of a stat file: 52 numbers and a name.
const STAT_BYTES: usize = 2048;

/// What a service has used since it began.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: f64,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
}

impl Cost {
    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            minor_faults: self.minor_faults.saturating_sub(before.minor_faults),
            major_faults: self.major_faults.saturating_sub(before.major_faults),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Tree {
    root: Root,
    keeper: Pid,
    /// The keeper's own stat: what it has collected was the service's.
    collected: Option<File>,
    members: Vec<Member>,
    cost: Cost,
}

#[derive(Debug)]
struct Member {
    process: Process,
    stat: File,
    statm: File,
    rss_bytes: u64,
    has_ended: bool,
}

impl Tree {
    pub(crate) fn below(root: Root, keeper: Pid) -> Self {
        let collected = root.process(keeper).and_then(|process| process.open("stat")).ok();
        Self { root, keeper, collected, members: Vec::new(), cost: Cost::default() }
    }

    /// Takes hold of processes that have come.
    pub(crate) fn look_for_new(&mut self) {
        let mut parents = vec![self.keeper];
        let mut found = Vec::new();
        while let Some(parent) = parents.pop() {
            for pid in children(&self.root, parent) {
                parents.push(pid);
                let is_known = |member: &Member| member.process.pid() == pid && !member.has_ended;
                if !self.members.iter().any(is_known) {
                    found.extend(Member::open(&self.root, pid));
                }
            }
        }
        found.sort_by_key(|member: &Member| (member.process.start_ticks(), member.process.pid()));
        self.members.extend(found);
    }

    /// Reads what every process uses now.
    pub(crate) fn read(&mut self) {
        let mut ticks = 0;
        let mut seen = Cost::default();
        if let Some(stat) = self.collected.as_ref().and_then(read_stat) {
            count(&mut seen, &mut ticks, 0, &stat);
        }
        for member in self.members.iter_mut().filter(|member| !member.has_ended) {
            let Some(stat) = read_stat(&member.stat) else {
                member.has_ended = true;
                member.rss_bytes = 0;
                continue;
            };
            let own = stat.user_ticks + stat.system_ticks;
            seen.minor_faults += stat.minor_faults;
            seen.major_faults += stat.major_faults;
            count(&mut seen, &mut ticks, own, &stat);
            // One that waits to be collected has no memory, and will not be back.
            member.rss_bytes = if stat.state == State::Zombie { 0 } else { rss_bytes(&member.statm) };
        }
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
        self.cost = Cost {
            cpu_seconds: (ticks as f64 / ticks_per_second as f64).max(self.cost.cpu_seconds),
            minor_faults: seen.minor_faults.max(self.cost.minor_faults),
            major_faults: seen.major_faults.max(self.cost.major_faults),
        };
    }

    pub(crate) const fn cost(&self) -> Cost {
        self.cost
    }

    /// In the order of their start; a process that has ended keeps its place with 0.
    pub(crate) fn each_rss_bytes(&self) -> impl Iterator<Item = u64> {
        self.members.iter().map(|member| member.rss_bytes)
    }

    pub(crate) fn living(&self) -> impl Iterator<Item = Pid> {
        self.members.iter().filter(|member| !member.has_ended).map(|member| member.process.pid())
    }

    pub(crate) fn n_ended(&self) -> usize {
        self.members.iter().filter(|member| member.has_ended).count()
    }
}

impl Member {
    fn open(root: &Root, pid: Pid) -> Option<Self> {
        let process = root.process(pid).ok()?;
        let (stat, statm) = (process.open("stat").ok()?, process.open("statm").ok()?);
        Some(Self { process, stat, statm, rss_bytes: 0, has_ended: false })
    }
}

/// Adds what a process and the children that it has collected used.
fn count(seen: &mut Cost, ticks: &mut u64, own_ticks: u64, stat: &Stat) {
    seen.minor_faults += stat.collected.minor_faults;
    seen.major_faults += stat.collected.major_faults;
    *ticks += own_ticks + stat.collected.user_ticks + stat.collected.system_ticks;
}

/// `None` once the process was collected.
fn read_stat(file: &File) -> Option<Stat> {
    let mut buffer = [0; STAT_BYTES];
    let n = file.read_at(&mut buffer, 0).ok().filter(|n| *n > 0)?;
    Stat::parse(&buffer[..n])
}

fn rss_bytes(statm: &File) -> u64 {
    let mut buffer = [0; 128];
    let pages = statm
        .read_at(&mut buffer, 0)
        .ok()
        .and_then(|n| str::from_utf8(&buffer[..n]).ok()?.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// The children of a process: those of each of its threads, where the kernel lists them.
fn children(root: &Root, parent: Pid) -> Vec<Pid> {
    let folder = root.path().join(parent.to_string()).join("task");
    let mut found = Vec::new();
    for thread in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        // One whose thread has ended cannot be read.
        if let Ok(text) = std::fs::read_to_string(thread.path().join("children")) {
            found.extend(text.split_whitespace().filter_map(|word| word.parse().ok()).map(Pid));
        }
    }
    found
}
