//! A thread's last walk, so that the next one goes only as far as the stack has changed.
//!
//! A walk is a function of the registers it begins with, of the rules of the code, and of the words of the
//! stack that it reads. So where it comes by with the registers of last time, and from there on all words
//! that were read last time are the same, the rest is what it was: that takes a load for each word, and no
//! rule.
//!
//! ```text
//! frame    pc   rsp   rbp   rbx   where the caller's rbp and rbx lie   location, count, flags
//! frames   outermost ... innermost │ free │ ... of a walk under way, innermost
//! ```
//!
//! Of rbp and rbx it counts only whether they are the same where a rule of this frame, or of an outer one
//! before they are read back from the stack, finds something by them.
//!
//! Invariants: nothing is concluded from where a frame lies. All was found by the rules of one list. While a
//! stack is being put together nothing is remembered.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use slackwater_unwind::{Base, Cfa, Ended, Memory, Registers, Rule, Saved};

use super::cache;
use super::merge::location;
use super::stack::{Known, Stack};
use super::walk::{Frame, Walk};

/// Most frames that are remembered.
const FRAMES: usize = 2048;
const FRAME_WORDS: usize = 6;
const PC: usize = 0;
const SP: usize = 1;
const BP: usize = 2;
const BX: usize = 3;
const SAVES: usize = 4;
const ABOUT: usize = 5;

// An index is below `FRAMES`. The remainder says so to the compiler, and costs nothing.
const _: () = assert!(FRAMES.is_power_of_two());

// In the last word of a frame: the location, how many frames of the loop there are up to this one, flags.
const LOOPS_AT: u32 = 32;
const LOOPS_MASK: u64 = 0xffff;
const IS_OWN: u64 = 1 << 48;
const IS_LOOP: u64 = 1 << 49;
const IS_RETURN: u64 = 1 << 50;
/// More words decide where the caller is than those that are remembered.
const IS_OPAQUE: u64 = 1 << 51;
// A bit for rbp, and one for rbx:
const BOTH: u64 = 3;
/// It is known.
const HAS: u32 = 52;
/// The caller's lies on the stack,
const SAVED: u32 = 54;
/// or is the same.
const KEPT: u32 = 56;
/// Something is found by it.
const USED: u32 = 58;
/// It counts, here or further out.
const COUNTS: u32 = 60;
/// What lies on the stack counts.
const SAVED_COUNTS: u32 = 62;
/// A return address does not say alone where the caller is.
const MORE: u64 = IS_OPAQUE | BOTH << SAVED_COUNTS;

/// What a remembered frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Of this library.
    Own,
    /// Native code, at this location.
    Native(u32),
    /// The interpreter's loop, at this location.
    Loop(u32),
}

/// A walk that was followed to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Followed {
    /// The outermost so many frames are as they were.
    pub(super) kept: usize,
    /// All frames.
    pub(super) depth: usize,
    /// How many of them are the interpreter's loop.
    pub(super) n_loops: usize,
    /// Why there are no more.
    pub(super) ended: Ended,
    /// Whether all are as they were, and no more or less.
    pub(super) is_same: bool,
    /// Whether all that was asked for was told.
    is_sure: bool,
}

/// The last walk of one thread.
#[repr(C)]
pub(crate) struct Trail {
    depth: AtomicU64,
    is_cut: AtomicU64,
    frames: [[AtomicU64; FRAME_WORDS]; FRAMES],
}

impl Trail {
    /// Remembers nothing.
    pub(super) fn forget(&self) {
        self.depth.store(0, Relaxed);
    }

    /// The stack that goes with it is put together: it may be relied on.
    #[inline]
    pub(super) fn remember(&self, followed: &Followed) {
        if followed.is_sure {
            self.is_cut.store(u64::from(followed.ended == Ended::Unknown), Relaxed);
            self.depth.store(followed.depth as u64, Relaxed);
        }
    }

    /// The walk that begins with these registers, if it is the last one again, all of it.
    #[inline]
    pub(super) fn again(&self, registers: &Registers, stack: &mut Stack) -> Option<Followed> {
        let depth = (self.depth.load(Relaxed) as usize).min(FRAMES);
        let newest = depth.checked_sub(1)?;
        let is_whole = self.is_cut.load(Relaxed) == 0;
        if !is_whole || !self.is_at(newest, registers) || self.unchanged(newest, stack) != 0 {
            return None;
        }
        let n_loops = self.n_loops(newest);
        Some(Followed { kept: depth, depth, n_loops, ended: Ended::Outermost, is_same: true, is_sure: true })
    }

    /// Follows a walk to its end, or to where it goes on as the last one did; `None` when there are too many
    /// frames. Nothing is remembered until [`Self::remember`].
    #[inline(never)]
    pub(super) fn follow(&self, walk: &mut Walk<'_>) -> Option<Followed> {
        let list = walk.list;
        let former = (self.depth.load(Relaxed) as usize).min(FRAMES);
        self.forget();
        let mut limit = former;
        let mut free = FRAMES;
        let mut is_sure = true;
        let (kept, ended) = loop {
            let registers = match walk.next {
                Ok(registers) => registers,
                Err(ended) => break (0, ended),
            };
            if walk.list != list {
                // Rules are others than they were.
                limit = 0;
            }
            while limit.checked_sub(1).is_some_and(|newest| self.word(newest, SP) < registers.sp) {
                limit -= 1;
            }
            if let Some(newest) = limit.checked_sub(1)
                && self.is_at(newest, &registers)
            {
                match self.unchanged(newest, &mut walk.stack) {
                    0 if self.is_cut.load(Relaxed) == 0 => break (limit, Ended::Outermost),
                    0 if walk.ends_at(&self.registers(0)) => break (limit, Ended::Unknown),
                    changed => limit = changed,
                }
            }
            if free == limit {
                return None;
            }
            let known = walk.pass(&registers);
            free -= 1;
            is_sure &= self.put(free, &registers, &known, &walk.next);
        };
        let depth = kept + FRAMES - free;
        let mut outer = kept.checked_sub(1).map_or(0, |newest| self.word(newest, ABOUT));
        for idx in kept..depth {
            outer = self.move_down(free + idx - kept, idx, outer);
        }
        let n_loops = (outer >> LOOPS_AT & LOOPS_MASK) as usize;
        Some(Followed { kept, depth, n_loops, ended, is_same: free == FRAMES && depth == former, is_sure })
    }

    /// What a frame is.
    #[inline]
    pub(super) fn kind(&self, idx: usize) -> Kind {
        let about = self.word(idx, ABOUT);
        match (about & IS_OWN, about & IS_LOOP) {
            (0, 0) => Kind::Native(about as u32),
            (0, _) => Kind::Loop(about as u32),
            _ => Kind::Own,
        }
    }

    /// How many frames up to this one are the interpreter's loop.
    #[inline]
    pub(super) fn n_loops(&self, idx: usize) -> usize {
        (self.word(idx, ABOUT) >> LOOPS_AT & LOOPS_MASK) as usize
    }

    /// The place behind so many frames of the loop, of a walk of `depth` frames.
    pub(super) fn behind(&self, n_loops: usize, depth: usize) -> usize {
        if n_loops == 0 {
            return 0;
        }
        let frames = self.frames.get(..depth).unwrap_or_default();
        let is_before = |frame: &[AtomicU64; FRAME_WORDS]| {
            ((frame[ABOUT].load(Relaxed) >> LOOPS_AT & LOOPS_MASK) as usize) < n_loops
        };
        frames.partition_point(is_before) + 1
    }

    #[inline(always)]
    fn word(&self, idx: usize, word: usize) -> u64 {
        self.frames[idx % FRAMES][word % FRAME_WORDS].load(Relaxed)
    }

    #[inline(always)]
    fn set_word(&self, idx: usize, word: usize, value: u64) {
        self.frames[idx % FRAMES][word % FRAME_WORDS].store(value, Relaxed);
    }

    fn registers(&self, idx: usize) -> Registers {
        let about = self.word(idx, ABOUT);
        Registers {
            pc: self.word(idx, PC),
            sp: self.word(idx, SP),
            bp: (about >> HAS & 1 != 0).then(|| self.word(idx, BP)),
            bx: (about >> HAS & 2 != 0).then(|| self.word(idx, BX)),
            is_return: about & IS_RETURN != 0,
        }
    }

    /// Whether a walk with these registers goes on as from a frame, if the stack is the same.
    #[inline]
    fn is_at(&self, idx: usize, registers: &Registers) -> bool {
        let about = self.word(idx, ABOUT);
        let state = self.word(idx, PC) == registers.pc
            && self.word(idx, SP) == registers.sp
            && (about & IS_RETURN != 0) == registers.is_return;
        let is_same = |counts: u64, word: usize, value: Option<u64>| {
            about >> COUNTS & counts == 0
                || about >> HAS & counts == if value.is_some() { counts } else { 0 }
                    && self.word(idx, word) == value.unwrap_or(0)
        };
        state && is_same(1, BP, registers.bp) && is_same(2, BX, registers.bx)
    }

    /// The outermost frame that a walk which goes on as from this one comes to.
    #[inline]
    fn unchanged(&self, from: usize, stack: &mut Stack) -> usize {
        let mut idx = from;
        loop {
            idx = self.returns_as_before(idx, stack.known());
            let Some(outer) = idx.checked_sub(1) else { return 0 };
            let (about, cfa) = (self.word(idx, ABOUT), self.word(outer, SP));
            let is_same = about & MORE != 0
                && stack.word(cfa.wrapping_sub(8)) == Some(self.word(outer, PC))
                && self.is_saved(idx, about, stack);
            if !is_same {
                return idx;
            }
            idx = outer;
        }
    }

    /// The same, as far as return addresses tell that lie in the known part of the stack. Apart from all else,
    /// for the sake of deep recursion.
    #[inline(never)]
    fn returns_as_before(&self, from: usize, stack: Known) -> usize {
        let mut idx = from;
        let mut about = self.word(from, ABOUT);
        for outer in self.frames.get(..from).unwrap_or_default().iter().rev() {
            let returns = stack.word(outer[SP].load(Relaxed).wrapping_sub(8));
            if about & MORE != 0 || returns != Some(outer[PC].load(Relaxed)) {
                break;
            }
            about = outer[ABOUT].load(Relaxed);
            idx -= 1;
        }
        idx
    }

    /// Whether those of rbp and rbx that count lie where the caller's lay.
    fn is_saved(&self, idx: usize, about: u64, stack: &mut Stack) -> bool {
        let (saves, cfa) = (self.word(idx, SAVES), self.word(idx - 1, SP));
        let mut is_there = |counts: u64, at: i32, value: u64| {
            about >> SAVED_COUNTS & counts == 0
                || stack.word(cfa.wrapping_add_signed(i64::from(at))) == Some(value)
        };
        about & IS_OPAQUE == 0
            && is_there(1, saves as i32, self.word(idx - 1, BP))
            && is_there(2, (saves >> 32) as i32, self.word(idx - 1, BX))
    }

    /// Writes a frame, of code that is known; whether its location is.
    #[inline]
    fn put(
        &self,
        idx: usize,
        registers: &Registers,
        known: &cache::Known,
        caller: &Result<Registers, Ended>,
    ) -> bool {
        let (shown, is_sure) = match Frame::of(known) {
            None => (IS_OWN, true),
            Some(Frame::Native(key)) => (u64::from(location(key)), location(key) != 0),
            Some(Frame::Interpreter(key)) => (IS_LOOP | u64::from(location(key)), location(key) != 0),
        };
        let (saves, ways) = ways(registers, known, caller);
        let has = u64::from(registers.bp.is_some()) | u64::from(registers.bx.is_some()) << 1;
        let about = shown | ways | has << HAS | if registers.is_return { IS_RETURN } else { 0 };
        self.set_word(idx, PC, registers.pc);
        self.set_word(idx, SP, registers.sp);
        self.set_word(idx, BP, registers.bp.unwrap_or(0));
        self.set_word(idx, BX, registers.bx.unwrap_or(0));
        self.set_word(idx, SAVES, saves);
        self.set_word(idx, ABOUT, about);
        is_sure
    }

    /// Puts a frame where it belongs, above one of which this is known; what is known of it.
    #[inline]
    fn move_down(&self, from: usize, to: usize, outer: u64) -> u64 {
        let about = self.word(from, ABOUT);
        let counts_outside = outer >> COUNTS & BOTH;
        let counts = match about & IS_OPAQUE {
            0 => about >> USED | about >> KEPT & counts_outside,
            _ => BOTH,
        };
        let saved_counts = about >> SAVED & counts_outside & BOTH;
        let n_loops = (outer >> LOOPS_AT & LOOPS_MASK) + u64::from(about & IS_LOOP != 0);
        let about = about | (counts & BOTH) << COUNTS | saved_counts << SAVED_COUNTS | n_loops << LOOPS_AT;
        for word in [PC, SP, BP, BX, SAVES] {
            self.set_word(to, word, self.word(from, word));
        }
        self.set_word(to, ABOUT, about);
        about
    }
}

/// Where the caller's rbp and rbx lie, from the CFA on, and what becomes of them.
#[inline]
fn ways(registers: &Registers, known: &cache::Known, caller: &Result<Registers, Ended>) -> (u64, u64) {
    let caller = match caller {
        Ok(caller) => caller,
        Err(Ended::Outermost) => return (0, 0),
        // It is tried again, with the registers that are remembered.
        Err(Ended::Unknown) => return (0, IS_OPAQUE),
    };
    match Rule::saved_from_rsp(known.rule) {
        Some([saves_bp, saves_bx])
            if (!saves_bp || caller.bp.is_some()) && (!saves_bx || caller.bx.is_some()) =>
        {
            let saved = u64::from(saves_bp) | u64::from(saves_bx) << 1;
            (known.rule[1], saved << SAVED | (saved ^ BOTH) << KEPT)
        }
        _ => other_ways(Rule::decode(known.rule), registers, caller).unwrap_or((0, IS_OPAQUE)),
    }
}

/// As [`ways`]; `None` when other words of the stack were read too.
#[inline(never)]
fn other_ways(rule: Rule, registers: &Registers, caller: &Registers) -> Option<(u64, u64)> {
    let base = match rule.cfa {
        Cfa::Offset(Base::Rsp, _) => 0,
        Cfa::Offset(Base::Rbp, _) => 1,
        Cfa::Offset(Base::Rbx, _) => 2,
        _ => return None,
    };
    let mut ways = base << USED;
    let mut way = |saved: Saved, value: Option<u64>, bit: u64| match saved {
        Saved::Kept => {
            ways |= bit << KEPT;
            Some(0)
        }
        Saved::Lost => Some(0),
        Saved::At(at) => {
            ways |= bit << SAVED;
            value.map(|_| at)
        }
        Saved::AtRbp(at) => {
            ways |= bit << SAVED | 1 << USED;
            let addr = registers.bp?.checked_add_signed(i64::from(at))?;
            value.and_then(|_| i32::try_from(addr.wrapping_sub(caller.sp) as i64).ok())
        }
    };
    let (bp, bx) = (way(rule.rbp, caller.bp, 1)?, way(rule.rbx, caller.bx, 2)?);
    Some((u64::from(bp as u32) | u64::from(bx as u32) << 32, ways))
}

#[cfg(test)]
mod tests {
    use slackwater_unwind::{Step, step};

    use super::*;

    const FRAME_BYTES: i32 = 64;
    const KEEPS: Rule = Rule {
        cfa: Cfa::Offset(Base::Rsp, FRAME_BYTES),
        rbp: Saved::Kept,
        rbx: Saved::Kept,
        runs_python: false,
    };
    const SAVES: Rule = Rule { rbp: Saved::At(-16), ..KEEPS };
    const BY_RBP: Rule = Rule { cfa: Cfa::Offset(Base::Rbp, FRAME_BYTES), ..KEEPS };
    const END: Rule = Rule { cfa: Cfa::End, ..KEEPS };

    /// A stack whose frames all have eight words, and the walk over it.
    struct Walked {
        words: Vec<u64>,
        trail: Trail,
        n_frames: usize,
    }

    impl Walked {
        /// Of code that has these rules, the innermost first.
        fn by(rules: &[Rule]) -> Self {
            let mut words: Vec<u64> = (0x1000..0x1000 + 8 * rules.len() as u64).collect();
            let start = words.as_ptr() as u64;
            for (frame, words) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                // A saved rbp points at the caller's frame.
                words[6] = start + (frame as u64 + 1) * FRAME_BYTES as u64;
            }
            let [depth, is_cut] = Default::default();
            let frames = [const { [const { AtomicU64::new(0) }; FRAME_WORDS] }; FRAMES];
            let trail = Trail { depth, is_cut, frames };
            let mut next =
                Ok(Registers { pc: 0x1000, sp: start, bp: Some(5), bx: Some(6), is_return: false });
            let mut free = FRAMES;
            for rule in rules {
                let registers = next.unwrap();
                let known = cache::Known { rule: rule.encode(), key: 1 };
                next = match step(known.rule, &registers, &mut Stack::of(&words)) {
                    Step::Caller(caller) => Ok(caller),
                    Step::Ended(why) => Err(why),
                };
                free -= 1;
                trail.put(free, &registers, &known, &next);
            }
            assert_eq!(next, Err(Ended::Outermost));
            (0..rules.len()).fold(0, |outer, idx| trail.move_down(free + idx, idx, outer));
            Self { words, trail, n_frames: rules.len() }
        }

        /// How many frames, from the innermost on, are known to have the same caller.
        fn n_same(&self) -> usize {
            let innermost = self.n_frames - 1;
            innermost - self.trail.unchanged(innermost, &mut Stack::of(&self.words))
        }

        /// The same, with another word in a frame.
        fn n_same_with_another(&mut self, frame: usize, word: usize) -> usize {
            let former = std::mem::replace(&mut self.words[8 * frame + word], 7);
            let n_same = self.n_same();
            self.words[8 * frame + word] = former;
            n_same
        }
    }

    #[test]
    fn a_frame_is_the_same_while_all_is_that_leads_to_it() {
        let mut walked = Walked::by(&[KEEPS, SAVES, BY_RBP, KEEPS, END]);
        assert_eq!(walked.n_same(), 4);
        for frame in 0..4 {
            assert_eq!(walked.n_same_with_another(frame, 7), frame, "return address of {frame}");
            assert_eq!(walked.n_same_with_another(frame, 5), 4, "nothing that was read");
        }
        assert_eq!(walked.n_same_with_another(1, 6), 1, "the caller is found by what is saved");
        assert_eq!(Walked::by(&[KEEPS, SAVES, KEEPS, END]).n_same_with_another(1, 6), 3, "by nobody");
        assert_eq!(Walked::by(&[SAVES, SAVES, BY_RBP, END]).n_same_with_another(0, 6), 3, "saved again");
    }

    #[test]
    fn registers_count_where_something_is_found_by_them() {
        let further = Rule { cfa: Cfa::Offset(Base::Rbp, 2 * FRAME_BYTES), ..KEEPS };
        let walked = Walked::by(&[KEEPS, SAVES, KEEPS, further, END]);
        let check = |frame: usize, change: fn(&mut Registers), expected: bool| {
            let idx = walked.n_frames - 1 - frame;
            let mut registers = walked.trail.registers(idx);
            assert!(walked.trail.is_at(idx, &registers));
            change(&mut registers);
            assert_eq!(walked.trail.is_at(idx, &registers), expected, "{frame}");
        };
        for frame in 0..5 {
            check(frame, |registers| registers.pc += 1, false);
            check(frame, |registers| registers.sp += 8, false);
            check(frame, |registers| registers.is_return = !registers.is_return, false);
            check(frame, |registers| registers.bx = None, true);
            // Saved by the second one, needed by the fourth.
            check(frame, |registers| registers.bp = Some(7), ![2, 3].contains(&frame));
            check(frame, |registers| registers.bp = None, ![2, 3].contains(&frame));
        }
    }

    #[test]
    fn a_walk_is_the_last_one_where_it_begins_as_that_did_which_went_to_its_end() {
        let Walked { words, trail, n_frames } = Walked::by(&[KEEPS, SAVES, BY_RBP, KEEPS, END]);
        let newest = trail.registers(n_frames - 1);
        let check = |registers: Registers, expected: bool| {
            assert_eq!(trail.again(&registers, &mut Stack::of(&words)).is_some(), expected, "{registers:?}");
        };
        check(newest, false);
        let ended = Ended::Outermost;
        let last = Followed { kept: 0, depth: n_frames, n_loops: 0, ended, is_same: false, is_sure: true };
        trail.remember(&last);
        check(newest, true);
        check(Registers { pc: newest.pc + 1, ..newest }, false);
        check(Registers { sp: newest.sp + 8, ..newest }, false);
        trail.remember(&Followed { ended: Ended::Unknown, ..last });
        check(newest, false);
    }
}
