//! One process, one recording.

use std::time::Duration;

use slackwater_capture::{Ending, Generation};
use slackwater_collect::{Agent, Collector, Options};
use slackwater_procfs::{Process, Root};
use slackwater_testkit::{Interpreter, Program, Target, agent_library, interpreters};

use crate::recording::{EXACT, SAMPLED, Told, read, while_turning};

pub(crate) fn agent() -> Agent {
    Agent::read(&agent_library().unwrap()).unwrap()
}

/// Patient: other tests may keep the processors busy.
pub(crate) fn patient() -> slackwater_inject::Options {
    slackwater_inject::Options { search: Duration::from_secs(10), ..Default::default() }
}

pub(crate) fn process(target: &Target) -> Process {
    Root::host().process(target.pid()).unwrap()
}

/// What is recorded of a process between attaching and detaching, while `work` is done.
pub(crate) fn attached(options: &Options, target: &mut Target, work: impl FnOnce(&mut Target)) -> Told {
    let agent = agent();
    let mut collector = Collector::new(options, Vec::new()).unwrap();
    let attached = agent.attach(&process(target), &collector.settings(), &patient()).unwrap();
    assert!(attached.n_slots > 0 && attached.n_refused == 0, "{attached:?}");
    collector.attached(process(target), attached.memory);
    while_turning(&mut collector, || work(target));
    agent.detach(&process(target), &patient()).unwrap();
    let (_, bytes) = collector.end().unwrap();
    let (mut told, gaps) = read(&bytes);
    assert_eq!(gaps, []);
    let told = told.remove(&Generation(1)).unwrap();
    assert_eq!(told.ending, Some(Ending::Outlived));
    told
}

const ALLOCATES: &str = "
kept = []
ready()
for command in commands():
    if command == 'keep':
        kept += [bytes(10_000 + n) for n in range(300)]
    reply('done')
";

fn check(interpreter: &Interpreter) {
    let mut target = Program::python(interpreter, "allocates", ALLOCATES).unwrap().spawn().unwrap();
    let told = attached(&EXACT, &mut target, |target| {
        assert_eq!(target.ask("keep").unwrap(), "done");
    });
    let n_kept = told.live.values().filter(|&&size| (10_033..10_333).contains(&size)).count();
    assert_eq!(n_kept, 300, "{interpreter}: {:?}", told.live.values());
    assert_eq!((told.n_lost, told.n_doubled, told.no_stacks), (0, 0, None), "{interpreter}");
    assert_eq!(target.ask("keep").unwrap(), "done");
}

#[test]
fn what_is_allocated_meanwhile_is_seen_on_every_python() {
    for interpreter in interpreters().iter().filter(|one| one.is_plain() && one.version().1 <= 13) {
        check(interpreter);
    }
}

#[test]
fn samples_too() {
    let python = interpreters().iter().rfind(|one| one.is_plain() && one.version().1 <= 13).unwrap();
    let mut target = Program::python(python, "allocates", ALLOCATES).unwrap().spawn().unwrap();
    let told = attached(&SAMPLED, &mut target, |target| {
        assert_eq!(target.ask("keep").unwrap(), "done");
    });
    assert!((50..300).contains(&told.n_allocations), "{told:?}");
}
