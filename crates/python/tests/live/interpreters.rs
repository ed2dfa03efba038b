//! Several interpreters in one process: each pymalloc is found, shared ones once.

use slackwater_testkit::{Program, interpreters};

use crate::planted::open;
use crate::walked::Walked;

#[test]
fn fault_40_every_interpreter_with_objects_of_its_own_is_found() {
    for interpreter in interpreters().iter().filter(|one| one.version().1 >= 12 && !one.is_free_threaded()) {
        let source = include_str!("programs/interpreters.py");
        let target = Program::python(interpreter, "interpreters", source).unwrap().spawn().unwrap();
        let Walked { python, heaps } = Walked::of(&open(&target));
        assert_eq!(python.n_interpreters, 4, "{interpreter}");
        // bytes(n) takes n + 33 bytes, in steps of 16: 144, 240 and, with the main one's, 336.
        let held = [20_000 * 336, 20_000 * 144, 20_000 * 240];
        let mut seen: Vec<u64> = heaps.iter().map(|heap| heap.live.bytes).collect();
        assert_eq!(seen.len(), held.len(), "{interpreter}");
        seen[1..].sort_unstable();
        for (seen, held) in seen.into_iter().zip(held) {
            assert!((held..held + 4_000_000).contains(&seen), "{interpreter}: {seen} of {held}");
        }
    }
}
