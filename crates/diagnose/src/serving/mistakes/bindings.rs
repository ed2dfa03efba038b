//! SW210, SW211: files whose memory does not come from what serves the rest.

use super::{Case, Mistake};
use crate::serving::MistakeCode;

pub(super) fn mixed(case: &Case<'_>) -> Vec<Mistake> {
    let of = |path: &std::path::PathBuf| {
        Mistake::new(
            MistakeCode::MixedBindings,
            format!("{} calls malloc of one library and free of another", path.display()),
            "preload one allocator for the whole process, or take the library that brings its own out",
        )
    };
    case.process.server.mixed.iter().map(of).collect()
}

pub(super) fn private(case: &Case<'_>) -> Vec<Mistake> {
    let server = &case.process.server;
    let callers = server.elsewhere.iter().filter_map(|elsewhere| {
        let library = elsewhere.library.as_ref()?;
        Some(format!("{} allocates in {}", elsewhere.caller.display(), library.display()))
    });
    let carried = case.process.others.iter().map(|(kind, name)| format!("{name} ({kind}) is mapped besides"));
    let mut evidence = callers.chain(carried);
    let Some(first) = evidence.next() else { return Vec::new() };
    let fix = "nothing, as long as its share is small; its own settings govern it";
    vec![evidence.fold(Mistake::new(MistakeCode::PrivateAllocator, first, fix), Mistake::seen)]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{codes, serving};
    use super::*;
    use crate::MallocKind;
    use crate::serving::Elsewhere;

    #[test]
    fn fires_on_what_goes_elsewhere() {
        let mut process = serving(MallocKind::Glibc);
        assert!(codes(&process, mixed).is_empty() && codes(&process, private).is_empty());
        process.server.mixed.push("/venv/a.so".into());
        assert_eq!(codes(&process, mixed), ["SW210"]);
        let library = Some("/lib/libjemalloc.so.2".into());
        process.server.elsewhere.push(Elsewhere { caller: "/venv/a.so".into(), library });
        assert_eq!(codes(&process, private), ["SW211"]);
    }
}
