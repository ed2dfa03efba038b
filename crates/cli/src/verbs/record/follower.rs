//! Programs that a recorded command starts in an environment of their own, and so without the agent. They are
//! attached to like the processes of a service that runs.
//!
//! Invariant: the recording never waits for one of them.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use slackwater_base::Pid;
use slackwater_capture::transport::Settings;
use slackwater_collect::{Agent, Collector};
use slackwater_procfs::Root;

use super::arrivals::{self, Attacher, Follows, Known, News};
use super::{attach, leaving};
use crate::exit::Failure;
use crate::printer::Printer;

/// The thread that looks for them.
pub(super) struct Follower {
    agent: Arc<Agent>,
    thread: JoinHandle<()>,
    news: Receiver<News>,
    attached: BTreeSet<Pid>,
}

impl Follower {
    /// Looks for them among the processes below this one.
    ///
    /// # Errors
    /// When there is no agent to load.
    pub(super) fn start(settings: Settings) -> Result<Self, Failure> {
        let agent = Arc::new(attach::read_agent()?);
        let (sender, news) = channel();
        let of_thread = Arc::clone(&agent);
        let own = Pid(rustix::process::getpid().as_raw_nonzero().get());
        let thread = std::thread::spawn(move || {
            let root = Root::host();
            let follows = Follows::Unhanded;
            let attacher = Attacher { root: &root, agent: &of_thread, settings: &settings, follows };
            attacher.watch(|| attacher.others_below(own), Known::new(), &sender);
        });
        Ok(Self { agent, thread, news, attached: BTreeSet::new() })
    }

    /// The agent that they are made to load.
    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Takes those up that were attached to.
    pub(super) fn take_up(&mut self, collector: &mut Collector<File>, printer: &Printer) {
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Found(opening) => collector.found(opening.pid, opening.found),
                News::Arrived(arrival) => match arrival.outcome {
                    Ok((process, attached)) => {
                        self.attached.insert(arrival.pid);
                        attach::say_unseen(arrival.pid, &attached, printer);
                        collector.attached(process, attached.memory);
                    }
                    Err(error) if error.is_gone() => {}
                    Err(error) => {
                        printer.warn(&attach::not_recorded(arrival.pid, &arrival.program, &error));
                    }
                },
            }
        }
    }

    /// Leaves those that are still there, after the recording.
    pub(super) fn end(self, printer: &Printer) {
        arrivals::give_up();
        let _ = self.thread.join();
        leaving::leave(&Root::host(), &self.agent, || self.attached.clone(), printer);
    }
}
