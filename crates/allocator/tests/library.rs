//! The file itself, and what it says of itself in its block.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use slackwater_layout::slackwater::{GovernorState, Snapshot};
use slackwater_testkit::{Interpreter, Program, SharedObject, Target, interpreters};

fn library() -> SharedObject {
    SharedObject::new(slackwater_testkit::allocator_library().unwrap())
}

/// Everything that a program can find in the library, sorted. Old programs know `cfree` and `mallinfo`.
const EXPORTS: &[&str] = &[
    "aligned_alloc",
    "calloc",
    "cfree",
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "free",
    "free_aligned_sized",
    "free_sized",
    "mallctl",
    "mallctlbymib",
    "mallctlnametomib",
    "mallinfo",
    "mallinfo2",
    "malloc",
    "malloc_info",
    "malloc_stats",
    "malloc_stats_print",
    "malloc_trim",
    "malloc_usable_size",
    "mallopt",
    "memalign",
    "posix_memalign",
    "posix_spawn",
    "posix_spawnp",
    "pvalloc",
    "realloc",
    "reallocarray",
    "slackwater_block",
    "valloc",
];

#[test]
fn it_exports_the_malloc_family_and_nothing_of_its_own_insides() {
    assert_eq!(library().exports().unwrap(), EXPORTS);
}

#[test]
fn fault_11_it_loads_under_glibc_since_2_17_and_needs_nothing_else() {
    let library = library();
    assert_eq!(library.needs().unwrap(), ["libc.so.6", "libpthread.so.0", "libdl.so.2"]);
    assert_eq!(library.glibc_minor_min().unwrap(), Some(17));
    let dynamic = library.told_by("readelf", &["--dynamic", "--wide"]).unwrap();
    assert!(dynamic.contains("NOOPEN"), "{dynamic}");
}

#[test]
fn what_programs_live_on_is_one_direct_jump() {
    let code = library().told_by("objdump", &["-d", "--no-show-raw-insn"]).unwrap();
    for name in ["malloc", "calloc", "realloc", "free", "posix_memalign"] {
        let first = code.split(&format!("<{name}>:\n")).nth(1).and_then(|body| body.lines().next()).unwrap();
        assert!(first.contains("jmp") && first.contains(&format!("<_rjem_{name}>")), "{name}: {first}");
    }
}

fn python() -> &'static Interpreter {
    interpreters().iter().find(|one| one.is_plain()).expect("a Python")
}

/// A Python process that answers any line with its block, in hexadecimal digits.
fn service(environment: &[(&str, &str)]) -> Target {
    let source = format!(
        "import ctypes\n\
         block = (ctypes.c_char * {}).in_dll(ctypes.CDLL(None), 'slackwater_block')\n\
         ready()\n\
         for _ in commands(): reply(bytes(block).hex())\n",
        Snapshot::BYTES
    );
    let program = Program::python(python(), "block", &source)
        .unwrap()
        .env("LD_PRELOAD", slackwater_testkit::allocator_library().unwrap());
    let program = environment.iter().fold(program, |program, (name, value)| program.env(name, value));
    program.spawn().unwrap()
}

/// The block, when it is whole and `wanted`.
fn block_when(target: &mut Target, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
    for _ in 0..2000 {
        let digits = target.ask("block").unwrap();
        let bytes: Vec<u8> = digits
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let block = Snapshot::parse(bytes.as_slice().try_into().unwrap()).unwrap();
        if block.sequence.is_multiple_of(2) && wanted(&block) {
            return block;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("the block never came to say so");
}

#[test]
fn the_users_options_follow_ours_and_win() {
    let mut target =
        service(&[("MALLOC_CONF", "dirty_decay_ms:1234,narenas:3"), ("_RJEM_MALLOC_CONF", "tcache:false")]);
    let block = block_when(&mut target, |_| true);
    let settings = &block.settings;
    assert_eq!(settings.user_options().to_string(), "dirty_decay_ms:1234,narenas:3,tcache:false");
    assert_eq!(settings.option("muzzy_decay_ms").unwrap().to_string(), "0");
    assert_eq!((settings.dirty_decay_ms, settings.n_arenas, settings.thread_cache_max_bytes), (1234, 3, 0));
    assert_eq!(settings.n_refused_options, 0);
    assert_eq!(block.pid, target.pid().0 as u32);
    assert!(!block.page_map.is_null());
    assert!(!block.arenas.is_null());
}

#[test]
fn options_that_jemalloc_refuses_are_counted_once_and_still_named() {
    let mut target = service(&[("MALLOC_CONF", "narena:2,dirty_decay_ms:soon,muzzy_decay_ms:7,tcache")]);
    let block = block_when(&mut target, |_| true);
    assert_eq!(block.settings.n_refused_options, 3);
    assert_eq!(block.settings.muzzy_decay_ms, 7);
    let said = target.said();
    assert!(said.contains("<jemalloc>: Invalid conf pair: narena:2"), "{said}");
}

#[test]
fn the_governor_is_where_it_should_be() {
    let mut governed = service(&[]);
    let block = block_when(&mut governed, |block| block.governor.state == Some(GovernorState::Idle));
    assert!(block.governor.n_ticks > 0 && block.governor.cpu_ns > 0);

    let mut off = service(&[("SLACKWATER_GOVERNOR", "off")]);
    let block = block_when(&mut off, |_| true);
    assert_eq!(block.governor.state, Some(GovernorState::Off));
    assert_eq!(tasks(&off).count(), 1);
}

#[test]
fn the_governor_keeps_its_files_out_of_the_program() {
    let mut target = service(&[]);
    block_when(&mut target, |block| block.governor.n_ticks > 0);
    let governor = tasks(&target)
        .find(|task| std::fs::read_to_string(task.join("comm")).unwrap().trim() == "slackwater")
        .expect("a governor");
    assert_eq!(std::fs::read_dir(governor.join("fd")).unwrap().count(), 0);
}

#[test]
fn a_threshold_that_does_not_exist_is_named() {
    let mut target = service(&[("SLACKWATER_POLICY", "busy_tick_ms:20,busy_tick:1")]);
    block_when(&mut target, |block| block.governor.n_ticks > 0);
    let said = target.said();
    assert!(said.contains("SLACKWATER_POLICY"), "{said}");
}

fn tasks(target: &Target) -> impl Iterator<Item = PathBuf> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", target.pid())).unwrap();
    tasks.flatten().map(|task| task.path())
}
