//! The keeper's own process.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rustix::process::{Signal, WaitOptions, WaitStatus};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use slackwater_base::Pid;
use slackwater_procfs::Root;

use super::descendants::{below, send};
use super::group::Group;
use super::leftovers::{GROUP_PREFIX, VARIABLE, mark_of_this_keeper};
use super::protocol::{Beginning, End, Event, Gone, Left, Order};

/// How long the rest may take to end after the program itself has.
const REST_WITHIN: Duration = Duration::from_secs(1);
/// How long the kernel may take to let go of a killed process.
const KILL_WITHIN: Duration = Duration::from_secs(20);
/// How often those that are left are killed again: they may have started others.
const KILL_EVERY: Duration = Duration::from_millis(20);

/// What wakes the keeper.
enum Wake {
    /// The runner says stop, or has ended; or somebody else asks this process to end.
    Stop,
    /// A process below has ended and was collected.
    Collected(i32, End),
    /// There is no process below any more. As orphans come here, there will be none.
    Nothing,
}

/// Starts what the order on standard input names, and sees to its end: until the runner says so, or is gone.
///
/// `begin` are the words of the command line, after the program's own name, that lead to
/// [`begin`](fn@super::begin).
///
/// # Errors
/// When this process cannot become a keeper. What goes wrong later is told to the runner.
pub fn serve(begin: &[&str]) -> io::Result<()> {
    // Fails for a process that leads a group already, which is as good.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let (sender, wakes) = mpsc::channel();
    on_signals(&sender)?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(());
    }
    let order: Order = serde_json::from_str(&line)?;
    let group = match group(&order) {
        Ok(group) => group,
        Err(reason) => return tell(&Event::Refused { reason }),
    };
    let started = start(&order, group.as_ref(), begin);
    let event = match &started {
        Ok(_) => Event::Started { group: group.as_ref().map(|group| group.directory().to_owned()) },
        Err(error) => Event::Refused { reason: error.to_string() },
    };
    let _ = tell(&event);
    let gone = match started {
        Ok(program) => {
            on_end_of_input(sender.clone());
            collect(sender);
            see_to_the_end(program, &order, &wakes)
        }
        Err(_) => Gone::default(),
    };
    let _ = tell(&Event::Gone(tidied(gone, group.as_ref())));
    Ok(())
}

fn group(order: &Order) -> Result<Option<Group>, String> {
    let Some(limit_bytes) = order.memory_limit_bytes else { return Ok(None) };
    let name = format!("{GROUP_PREFIX}{}", std::process::id());
    match Group::create(&Root::host(), &name, limit_bytes) {
        Ok(group) => Ok(Some(group)),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Err(format!(
                "no control group for memory_limit can be made: {error}{}; run as root, or leave memory_limit out",
                cause.unwrap_or_default()
            ))
        }
    }
}

fn tidied(mut gone: Gone, group: Option<&Group>) -> Gone {
    if let Some(group) = group {
        (gone.group_peak_bytes, gone.oom_kills) = group.counted();
        gone.n_limit_hits = group.n_limit_hits();
        if !group.remove() {
            gone.leftovers.push(format!("the control group {} is still in use", group.directory().display()));
        }
    }
    gone
}

/// Starts the program through [`begin`](fn@super::begin): its pid.
fn start(order: &Order, group: Option<&Group>, begin: &[&str]) -> io::Result<i32> {
    let mut order = order.clone();
    let mark = mark_of_this_keeper(&Root::host());
    order.environment.extend(mark.map(|mark| (VARIABLE.to_owned(), mark)));
    let beginning =
        Beginning { order, keeper: std::process::id() as i32, members: group.map(Group::members) };
    // Everything that it writes goes to one pipe, our standard error; standard output is the runner's.
    let log = rustix::io::dup(io::stderr())?;
    // Still this program when its file was replaced meanwhile.
    let mut child = Command::new("/proc/self/exe")
        .arg0("slackwater")
        .args(begin)
        .stdin(Stdio::piped())
        .stdout(Stdio::from(log))
        .spawn()?;
    let pid = child.id() as i32;
    if let Some(mut orders) = child.stdin.take() {
        serde_json::to_writer(&mut orders, &beginning)?;
    }
    Ok(pid)
}

/// The runner writes one line and nothing more: what comes next is "stop", or its end.
fn on_end_of_input(sender: Sender<Wake>) {
    std::thread::spawn(move || {
        let _ = io::stdin().lock().read_line(&mut String::new());
        let _ = sender.send(Wake::Stop);
    });
}

/// Whoever ends this process by a signal ends the service with it.
fn on_signals(sender: &Sender<Wake>) -> io::Result<()> {
    let (mut reader, writer) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    let sender = sender.clone();
    std::thread::spawn(move || {
        let _ = reader.read_exact(&mut [0]);
        let _ = sender.send(Wake::Stop);
    });
    Ok(())
}

/// Collects every child that ends, adopted ones included.
fn collect(sender: Sender<Wake>) {
    std::thread::spawn(move || {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    let _ = sender.send(Wake::Collected(pid.as_raw_pid(), end(status)));
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    let _ = sender.send(Wake::Nothing);
                    return;
                }
            }
        }
    });
}

fn end(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => End::Killed(signal),
        (None, None) => End::Unknown,
    }
}

/// Waits for the word to stop, then for the end of everything.
fn see_to_the_end(program: i32, order: &Order, wakes: &Receiver<Wake>) -> Gone {
    let own = Pid(std::process::id() as i32);
    let root = Root::host();
    let mut watch = Watch { program, runs: true, nothing_left: false };
    // Without a deadline: as long as the runner lives and says nothing.
    while let Ok(wake) = wakes.recv() {
        if watch.take(&wake, &root, own) {
            break;
        }
    }
    if watch.runs {
        if let Ok(process) = root.process(Pid(program)) {
            send(&process, Signal::TERM);
        }
        watch.until(Instant::now() + order.stop_within, wakes, &root, own, |watch| !watch.runs);
    } else {
        for descendant in below(&root, own) {
            send(&descendant.process, Signal::TERM);
        }
    }
    if !watch.runs {
        let rest_within = REST_WITHIN.min(order.stop_within);
        watch.until(Instant::now() + rest_within, wakes, &root, own, |watch| watch.nothing_left);
    }
    kill_all(&mut watch, wakes, &root, own)
}

/// Kills whatever is left, again and again, until nothing is.
fn kill_all(watch: &mut Watch, wakes: &Receiver<Wake>, root: &Root, own: Pid) -> Gone {
    let deadline = Instant::now() + KILL_WITHIN;
    let mut left: BTreeMap<i32, Left> = BTreeMap::new();
    while !watch.nothing_left && Instant::now() < deadline {
        for descendant in below(root, own) {
            let pid = descendant.process.pid().0;
            send(&descendant.process, Signal::KILL);
            left.insert(pid, Left { pid, name: descendant.name });
        }
        watch.until(Instant::now() + KILL_EVERY, wakes, root, own, |watch| watch.nothing_left);
    }
    let stuck = below(root, own).into_iter();
    let stuck = stuck.map(|one| Left { pid: one.process.pid().0, name: one.name }).collect();
    Gone { left: left.into_values().collect(), stuck, ..Gone::default() }
}

/// What the keeper knows of what is below it.
struct Watch {
    program: i32,
    /// The program itself has not ended.
    runs: bool,
    nothing_left: bool,
}

impl Watch {
    /// Takes one event in: whether it says stop.
    fn take(&mut self, wake: &Wake, root: &Root, own: Pid) -> bool {
        match wake {
            Wake::Stop => return true,
            Wake::Collected(pid, end) if *pid == self.program && self.runs => {
                self.runs = false;
                let _ = tell(&Event::Ended { end: *end, n_left: below(root, own).len() });
            }
            Wake::Collected(..) => {}
            Wake::Nothing => self.nothing_left = true,
        }
        false
    }

    fn until(
        &mut self,
        deadline: Instant,
        wakes: &Receiver<Wake>,
        root: &Root,
        own: Pid,
        is_enough: impl Fn(&Self) -> bool,
    ) {
        while !is_enough(self) {
            match wakes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(wake) => {
                    self.take(&wake, root, own);
                }
                Err(RecvTimeoutError::Timeout) => return,
                // All senders are done, the collector last: there is nothing to collect.
                Err(RecvTimeoutError::Disconnected) => {
                    self.nothing_left = true;
                    return;
                }
            }
        }
    }
}

/// One line to the runner. It may be gone, which its pipe tells us elsewhere.
fn tell(event: &Event) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, event)?;
    out.write_all(b"\n")?;
    out.flush()
}
