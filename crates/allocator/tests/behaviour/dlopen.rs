//! The library is for preloading. Whoever opens it later is told so, and goes on as before.

use slackwater_testkit::Program;

use crate::preload::{is_governed, library, program, python, under};

#[test]
fn fault_12_opening_it_late_is_refused_and_does_no_harm() {
    let (text, diagnostics, code) =
        crate::preload::output(program!("dlopen_late").arg(library()).to_command().env_remove("LD_PRELOAD"));
    assert_eq!(code, Some(0), "{text}{diagnostics}");
    assert!(text.contains("cannot be dlopen()ed"), "{text}");
    assert!(text.contains("malloc still serves"), "{text}");
}

#[test]
fn opening_what_is_preloaded_gives_its_handle() {
    let source = format!("import ctypes\nours = ctypes.CDLL({:?})\n{ASK}", library());
    let target = under(&Program::python(python(), "open_again", &source).unwrap()).spawn().unwrap();
    assert_eq!(target.greeting(), "5.3.1");
    assert!(is_governed(target.pid()));
}

const ASK: &str = r#"
version = ctypes.c_char_p()
size = ctypes.c_size_t(8)
failed = ours.mallctl(b"version", ctypes.byref(version), ctypes.byref(size), None, 0)
ready(version.value.decode().split("-")[0] if not failed else failed)
serve()
"#;
