//! Which allocator serves objects, under each way of choosing one, on every interpreter found.

use crate::planted::open;
use crate::walked::Walked;
use slackwater_python::Backend;
use slackwater_testkit::{Interpreter, Program, interpreters};

/// A choice, and what must be seen: the backend, whether the debug hooks are on, whether something
/// else listens.
type Choice = (&'static [(&'static str, &'static str)], Backend, bool, bool);

const CHOICES: [Choice; 6] = [
    (&[("PYTHONMALLOC", "malloc")], Backend::Malloc, false, false),
    (&[("PYTHONMALLOC", "malloc_debug")], Backend::Malloc, true, false),
    (&[("PYTHONMALLOC", "pymalloc")], Backend::Pymalloc, false, false),
    (&[("PYTHONMALLOC", "pymalloc_debug")], Backend::Pymalloc, true, false),
    (&[("PYTHONDEVMODE", "1")], Backend::Pymalloc, true, false),
    (&[("PYTHONTRACEMALLOC", "1"), ("PYTHONMALLOC", "pymalloc_debug")], Backend::Pymalloc, true, true),
];

/// Since 3.13.
const MIMALLOC: [Choice; 2] = [
    (&[("PYTHONMALLOC", "mimalloc")], Backend::Mimalloc, false, false),
    (&[("PYTHONMALLOC", "mimalloc_debug")], Backend::Mimalloc, true, false),
];

fn check(interpreter: &Interpreter, (variables, backend, debug_hooks, hooked): Choice) {
    let mut program = Program::python(interpreter, "idle", "ready()\nserve()\n").unwrap();
    for (name, value) in variables {
        program = program.env(name, value);
    }
    let target = program.env("PYTHONNOUSERSITE", "1").spawn().unwrap();
    let Walked { python, heaps } = Walked::of(&open(&target));
    let domains = python.domains.expect("the allocators' table");
    for domain in [domains.mem, domains.obj] {
        let seen = (domain.backend, domain.debug_hooks, domain.hooked);
        assert_eq!(seen, (backend, debug_hooks, hooked), "{interpreter} with {variables:?}");
    }
    assert_eq!(domains.raw.backend, Backend::Malloc);
    let expects_arenas = backend == Backend::Pymalloc;
    assert_eq!(!heaps.is_empty(), expects_arenas, "{interpreter} with {variables:?}");
}

#[test]
fn every_choice_of_allocator_is_named() {
    for interpreter in interpreters().iter().filter(|one| !one.is_free_threaded()) {
        for choice in CHOICES {
            check(interpreter, choice);
        }
        if interpreter.version().1 >= 13 {
            for choice in MIMALLOC {
                check(interpreter, choice);
            }
        }
    }
}
