//! A keeper, as the runner holds it.
//!
//! Invariant: when a [`Keeper`] is dropped or stopped, nothing that it started runs any more, or it is said
//! what the kernel did not let go of.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Signal, WaitOptions};
use slackwater_base::Pid;
use slackwater_procfs::Root;

use super::descendants::{below, send};
use super::group;
use super::leftovers::GROUP_PREFIX;
use super::protocol::{End, Event, Gone, Left, Order};
use crate::service::Log;

/// How long a keeper may take beyond the time that its program has to stop.
const GRACE: Duration = Duration::from_secs(30);

/// The keepers that this process has started. Other children of it are orphans that came to it.
static STARTED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// The keeper itself.
    #[error("cannot start the process that looks after the service")]
    Start(#[source] io::Error),
    /// The keeper says why.
    #[error("{reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
    /// The keeper was killed.
    #[error("the process that looks after the service was killed")]
    Killed,
}

/// How keepers are started: the words of a command line that lead to [`super::serve()`].
#[derive(Clone, Debug)]
pub(crate) struct Starter(pub(crate) Vec<OsString>);

/// A program and the keeper that sees to its end.
#[derive(Debug)]
pub struct Keeper {
    child: Child,
    /// Closed to say stop.
    orders: Option<ChildStdin>,
    told: Arc<Told>,
    readers: Vec<JoinHandle<()>>,
    group: Option<PathBuf>,
    stop_within: Duration,
    is_over: bool,
}

/// What the keeper has told so far.
#[derive(Default, Debug)]
struct Told {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Debug)]
struct State {
    started: Option<Result<Option<PathBuf>, String>>,
    ended: Option<(End, usize)>,
    gone: Option<Gone>,
    /// Nothing more will come.
    is_closed: bool,
}

impl Keeper {
    /// Starts a program under a keeper; what it writes goes to `log`.
    ///
    /// # Errors
    /// When the program was not even started; one that ends at once was.
    pub(crate) fn start(starter: &Starter, order: &Order, log: &Log) -> Result<Self, KeeperError> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|errno| KeeperError::Start(errno.into()))?;
        let (program, words) = starter.0.split_first().ok_or_else(|| {
            KeeperError::Start(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"))
        })?;
        // Held, so that a new keeper is never taken for an orphan.
        let mut started = lock(&STARTED);
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(KeeperError::Start)?;
        started.insert(child.id() as i32);
        drop(started);
        let told = Arc::new(Told::default());
        let mut readers = Vec::new();
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            let (told, log) = (Arc::clone(&told), log.clone());
            readers.push(std::thread::spawn(move || told.listen(BufReader::new(out))));
            readers.push(std::thread::spawn(move || log.fill(err)));
        }
        let orders = child.stdin.take();
        let mut keeper = Self {
            child,
            orders,
            told,
            readers,
            group: None,
            stop_within: order.stop_within,
            is_over: false,
        };
        keeper.give(order)?;
        Ok(keeper)
    }

    fn give(&mut self, order: &Order) -> Result<(), KeeperError> {
        let mut line = serde_json::to_vec(order).map_err(|error| KeeperError::Start(error.into()))?;
        line.push(b'\n');
        if let Some(orders) = &mut self.orders {
            // One that was killed already does not read; that shows below.
            let _ = orders.write_all(&line).and_then(|()| orders.flush());
        }
        let state = self.told.wait(None, |state| state.started.is_some() || state.is_closed);
        match state.started.clone() {
            Some(Ok(group)) => {
                drop(state);
                self.group = group;
                Ok(())
            }
            Some(Err(reason)) => Err(KeeperError::Refused { reason }),
            None => Err(KeeperError::Killed),
        }
    }

    /// The keeper's own process: the parent of everything.
    pub(crate) fn pid(&self) -> Pid {
        Pid(self.child.id() as i32)
    }

    /// The directory of its control group.
    pub(crate) const fn group(&self) -> Option<&PathBuf> {
        self.group.as_ref()
    }

    /// How the program ended, and how many of the processes that it had started went on; `None` while it
    /// runs.
    pub(crate) fn ended(&self) -> Option<(End, usize)> {
        let state = lock(&self.told.state);
        state.ended.or_else(|| state.is_closed.then_some((End::Unknown, 0)))
    }

    /// Waits for the end of the program, at the longest until `deadline`: whether it has come.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        let state = self.told.wait(Some(deadline), |state| state.ended.is_some() || state.is_closed);
        state.ended.is_some() || state.is_closed
    }

    /// Stops everything and waits until nothing is left.
    pub(crate) fn stop(mut self) -> Gone {
        self.finish()
    }

    fn finish(&mut self) -> Gone {
        if std::mem::replace(&mut self.is_over, true) {
            return Gone::default();
        }
        drop(self.orders.take());
        let deadline = Instant::now() + self.stop_within + GRACE;
        let gone = self.told.wait(Some(deadline), |state| state.is_closed).gone.clone();
        let mut gone = match gone {
            Some(gone) => gone,
            None => self.clean_up_after_a_killed_keeper(),
        };
        // Ends by itself now, or was killed above.
        let _ = self.child.wait();
        lock(&STARTED).remove(&(self.child.id() as i32));
        for reader in self.readers.drain(..) {
            // A process that the kernel does not let go of may hold its end of a pipe for ever.
            if gone.stuck.is_empty() && reader.join().is_err() {
                gone.leftovers.push("a reader of the service's output failed".to_owned());
            }
        }
        gone
    }

    /// Its program died with it; what that had started has come to this process.
    fn clean_up_after_a_killed_keeper(&mut self) -> Gone {
        let root = Root::host();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let own = Pid(std::process::id() as i32);
        let deadline = Instant::now() + GRACE;
        let mut gone = Gone { leftovers: vec![KeeperError::Killed.to_string()], ..Gone::default() };
        loop {
            let orphans = orphans(&root, own);
            if orphans.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                let stuck =
                    orphans.into_iter().map(|pid| Left { pid: pid.as_raw_pid(), name: "orphan".to_owned() });
                gone.stuck.extend(stuck);
                break;
            }
            for orphan in orphans {
                for descendant in below(&root, Pid(orphan.as_raw_pid())) {
                    send(&descendant.process, Signal::KILL);
                }
                let _ = rustix::process::kill_process(orphan, Signal::KILL);
                let _ = rustix::process::waitpid(Some(orphan), WaitOptions::NOHANG);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // As the keeper would have called it, also when it was killed before it could say so.
        let groups = root.process(own).ok().and_then(|process| process.memory_group(&root).ok().flatten());
        let name = format!("{GROUP_PREFIX}{}", self.child.id());
        let places = groups.iter().flat_map(|own| own.directory.ancestors().take(2));
        for directory in places.map(|place| place.join(&name)).filter(|directory| directory.exists()) {
            if !group::remove(&directory) {
                gone.leftovers.push(format!("the control group {} is still in use", directory.display()));
            }
        }
        gone
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Children of this process that it did not start: they came when a keeper was killed. They cannot become
/// other processes before they are collected here.
fn orphans(root: &Root, own: Pid) -> Vec<rustix::process::Pid> {
    let started = lock(&STARTED);
    let is_orphan = |pid: &Pid| {
        let stat = root.process(*pid).and_then(|process| process.stat());
        stat.is_ok_and(|stat| stat.ppid == own.0) && !started.contains(&pid.0)
    };
    let pids = root.pids().unwrap_or_default();
    pids.into_iter().filter(is_orphan).filter_map(|pid| rustix::process::Pid::from_raw(pid.0)).collect()
}

impl Told {
    fn listen(&self, lines: impl BufRead) {
        for line in lines.lines() {
            let Ok(event) = line.and_then(|line| Ok(serde_json::from_str::<Event>(&line)?)) else { break };
            let mut state = lock(&self.state);
            match event {
                Event::Started { group } => state.started = Some(Ok(group)),
                Event::Refused { reason } => state.started = Some(Err(reason)),
                Event::Ended { end, n_left } => state.ended = Some((end, n_left)),
                Event::Gone(gone) => state.gone = Some(gone),
            }
            self.changed.notify_all();
        }
        lock(&self.state).is_closed = true;
        self.changed.notify_all();
    }

    fn wait(&self, deadline: Option<Instant>, is_there: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        while !is_there(&state) {
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state
    }
}

/// A panic elsewhere leaves these values as they were.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
