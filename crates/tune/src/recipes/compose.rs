//! Docker Compose: an override file, merged over compose.yaml by its name.

use super::draft::{Draft, Syntax};
use super::{File, INSTALLED, Request, docker, glibc, variables};
use crate::Allocator;

pub(super) fn files(request: &Request) -> Vec<File> {
    let mut draft = Draft::new(
        "compose.override.yaml",
        Syntax::Yaml,
        "`docker compose up` merges it over compose.yaml beside it.",
    );
    docker::rearming(request, &mut draft);
    if request.allocator == Allocator::Slackwater {
        draft.note("The library comes from this machine. The image must have glibc (not Alpine).");
        if let Some(install) = request.install() {
            draft.note("Once, as root:");
            draft.example(&install);
        }
    } else if let Some(package) = request.allocator.package(request.distribution) {
        draft.note(&format!(
            "The image must have the package {} ({}); `slackwater advise docker` says how.",
            package.name, request.distribution
        ));
    }
    draft.line("services:");
    draft.note_at(2, "The name of your service.");
    draft.line("  web:");
    draft.line("    environment:");
    for variable in variables(request) {
        for reason in &variable.reasons {
            draft.note_at(6, reason);
        }
        draft.line(&format!("      {}: \"{}\"", variable.name, variable.value));
    }
    if request.allocator == Allocator::Slackwater {
        let folder = INSTALLED.trim_end_matches("/libslackwater_alloc.so");
        draft.line("    volumes:");
        draft.line(&format!("      - {folder}:{folder}:ro"));
    }
    glibc::tunables(request, &mut draft);
    request.verify(&mut draft);
    vec![draft.file()]
}
