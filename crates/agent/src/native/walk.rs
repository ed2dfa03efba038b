//! From the hook outwards, frame by frame.
//!
//! Where the collector has not made a rule yet, exact recording waits for it, within [`PATIENCE_MS`]; sampled
//! recording leaves the rest of this one stack out.
//!
//! Invariant: a bounded number of steps and of waits, whatever the stack holds.

use core::sync::atomic::Ordering::Relaxed;

use slackwater_capture::transport::{Message, SessionState};
use slackwater_unwind::{Ended, List, Lookup, Region, Registers, Rule, Slot, Step, step};

use super::cache::{Cache, Known};
use super::merge::key_of;
use super::stack::Stack;
use crate::process::{self, EXACT, Process};
use crate::table::mixed;
use crate::{recorder, sys, thread};

/// Longest wait for the rule of an instruction, milliseconds.
const PATIENCE_MS: u64 = 1000;
/// So often a thread waits in vain, and then never again.
const WAITS_MAX: u64 = 16;
/// A collector that has not been heard of for so long is not waited for.
const SILENCE_NS: u64 = 2_000_000_000;

/// A frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Frame {
    /// Native code.
    Native(u64),
    /// The interpreter's loop.
    Interpreter(u64),
}

/// The key of this library's own code, which is not shown. Keys of locations are larger.
const OWN: u64 = 1;

impl Frame {
    /// The frame of known code; `None` for one of this library.
    #[inline]
    pub(super) fn of(known: &Known) -> Option<Self> {
        match known.key {
            OWN => None,
            key if Rule::runs_python(known.rule) => Some(Self::Interpreter(key)),
            key => Some(Self::Native(key)),
        }
    }
}

/// A walk under way.
pub(super) struct Walk<'a> {
    process: &'a Process,
    region: Region<'static>,
    slot: Slot<'static>,
    pub(super) list: List,
    cache: &'static Cache,
    pub(super) stack: Stack,
    /// The frame that is next; why there is none otherwise.
    pub(super) next: Result<Registers, Ended>,
    /// An instruction of this library.
    own: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        process: &'a Process,
        region: Region<'static>,
        slot: Slot<'static>,
        cache: &'static Cache,
        start: Registers,
    ) -> Self {
        let tid = thread::this(process).tid.load(Relaxed);
        let list = slot.list(process.pid());
        cache.renew(list, tid);
        let stack = Stack::new(process, cache, start.sp);
        let mut walk =
            Self { process, region, slot, list, cache, stack, next: Ok(start), own: start.lookup() };
        walk.known(start.lookup());
        walk
    }

    /// The next frame outwards; why there is none.
    pub(super) fn next(&mut self) -> Result<Frame, Ended> {
        loop {
            let registers = self.next?;
            if let Some(frame) = Frame::of(&self.pass(&registers)) {
                return Ok(frame);
            }
        }
    }

    /// Goes to the caller of the frame that is next; what is known of its code, with its key.
    #[inline(always)]
    pub(super) fn pass(&mut self, registers: &Registers) -> Known {
        let pc = registers.lookup();
        let known = self.known(pc);
        self.next = self.caller(&known, registers);
        Known { key: self.key(pc, known), ..known }
    }

    /// Whether the walk still ends at a frame, for want of a rule or of what it says.
    pub(super) fn ends_at(&mut self, registers: &Registers) -> bool {
        let known = self.known(registers.lookup());
        self.caller(&known, registers) == Err(Ended::Unknown)
    }

    #[inline(always)]
    fn caller(&mut self, known: &Known, registers: &Registers) -> Result<Registers, Ended> {
        match step(known.rule, registers, &mut self.stack) {
            Step::Caller(caller) => Ok(caller),
            Step::Ended(why) => Err(why),
        }
    }

    #[inline]
    fn known(&mut self, pc: u64) -> Known {
        if let Some(known) = self.cache.get(pc) {
            return known;
        }
        self.look_up(pc)
    }

    #[cold]
    fn look_up(&mut self, pc: u64) -> Known {
        let rule = match self.region.lookup(self.list, pc) {
            Lookup::Rule(rule) => Some(rule),
            Lookup::None => None,
            Lookup::NotListed | Lookup::Pending => {
                self.slot.want(pc);
                match self.wait(pc) {
                    Lookup::Rule(rule) => Some(rule),
                    Lookup::None => None,
                    // Not for ever: asked again at the next walk.
                    _ => return Known { rule: Rule::UNKNOWN.encode(), key: 0 },
                }
            }
        };
        let known = Known { rule: rule.unwrap_or_else(|| Rule::UNKNOWN.encode()), key: 0 };
        self.cache.put(pc, known);
        known
    }

    /// Waits until the code at `pc` is known, or will not be.
    #[cold]
    fn wait(&mut self, pc: u64) -> Lookup {
        let waits = self.cache.waits();
        let began_ns = sys::monotonic_ns();
        let session = self.process.session();
        while process::phase() == EXACT && session.state() == SessionState::Open {
            let now_ns = sys::monotonic_ns();
            let is_silent = now_ns.saturating_sub(session.last_beat()) > SILENCE_NS;
            if waits.load(Relaxed) >= WAITS_MAX || is_silent {
                break;
            }
            // Before the list is looked at: what was answered is in it.
            let is_answered = self.slot.answered() == pc;
            self.list = self.slot.list(self.process.pid());
            let found = self.region.lookup(self.list, pc);
            if matches!(found, Lookup::Rule(_) | Lookup::None) {
                self.cache.renew(self.list, thread::this(self.process).tid.load(Relaxed));
                return found;
            }
            if is_answered || now_ns.saturating_sub(began_ns) > PATIENCE_MS * 1_000_000 {
                waits.store(waits.load(Relaxed) + 1, Relaxed);
                break;
            }
            self.slot.want(pc);
            sys::sleep_ns(50_000);
        }
        Lookup::NotListed
    }

    /// The key of the location at `pc`, which is told to the collector when it is new.
    #[inline]
    fn key(&mut self, pc: u64, known: Known) -> u64 {
        if known.key != 0 {
            return known.key;
        }
        self.define(pc, known)
    }

    #[cold]
    fn define(&mut self, pc: u64, known: Known) -> u64 {
        if self.region.find(self.list, self.own).is_some_and(|own| own.holds(pc)) {
            if self.cache.get(pc).is_some() {
                self.cache.put(pc, Known { key: OWN, ..known });
            }
            return OWN;
        }
        // Other code may come to lie at the same address.
        let mark = self.region.find(self.list, pc).map_or(1, |module| mixed(module.identity()) as u32 | 1);
        // A key is never 0.
        let id = self.process.locations().id((!pc).max(1), mark, || {
            let id = self.process.new_location();
            recorder::send_one(self.process, Message::Native { id, pc });
            id
        });
        let key = key_of(id);
        if id != 0 && self.cache.get(pc).is_some() {
            self.cache.put(pc, Known { key, ..known });
        }
        key
    }
}
