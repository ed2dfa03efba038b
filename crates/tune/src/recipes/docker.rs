//! Images and single containers.

use super::draft::{Draft, Syntax};
use super::{File, INSTALLED, Request, Variable, glibc, rearm, variables};
use crate::{Allocator, Distribution};

/// The lines for an image.
pub(super) fn image(request: &Request) -> Vec<File> {
    let mut draft =
        Draft::new("Dockerfile", Syntax::Dockerfile, "add these lines to the last stage, before CMD.");
    library(request, &mut draft);
    for variable in variables(request) {
        draft.gap();
        for reason in &variable.reasons {
            draft.note(reason);
        }
        draft.line(&format!("ENV {}={}", variable.name, variable.value));
    }
    glibc::tunables(request, &mut draft);
    draft.gap();
    rearming(request, &mut draft);
    draft.note(
        "ENV reaches everything that the image runs, health checks and shells too. For the service alone, leave \
        ENV out and set the variables in CMD: CMD [\"env\", \"NAME=value\", ..., \"gunicorn\", \"app:app\"].",
    );
    request.verify(&mut draft);
    vec![draft.file()]
}

/// How the library gets into the image.
fn library(request: &Request, draft: &mut Draft) {
    if request.allocator == Allocator::Slackwater {
        let found = request.library.as_deref().unwrap_or("target/release/libslackwater_alloc.so");
        draft.note("The image must have glibc (Debian, Ubuntu, RHEL; not Alpine) and be built for x86-64.");
        draft.note("First put the library beside the Dockerfile, where the build can see it:");
        draft.example(&format!("cp {found} ."));
        let folder = INSTALLED.trim_end_matches("libslackwater_alloc.so");
        draft.line(&format!("COPY libslackwater_alloc.so {folder}"));
    } else if let Some(package) = request.allocator.package(request.distribution) {
        let install = request.distribution.install(package);
        draft.note(
            "The last command makes the build fail, rather than the preload, should the path ever change.",
        );
        match request.distribution {
            Distribution::Debian | Distribution::Ubuntu => {
                draft.note("On arm64 the folder is aarch64-linux-gnu.");
                draft.line("RUN apt-get update \\");
                draft.line(&format!("    && {install} \\"));
                draft.line("    && rm -rf /var/lib/apt/lists/* \\");
            }
            Distribution::Rhel => {
                draft.line(&format!("RUN {} \\", install.replace(" && ", " \\\n    && ")));
                draft.line("    && dnf clean all \\");
            }
            Distribution::Alpine => draft.line(&format!("RUN {install} \\")),
        }
        draft.line(&format!("    && test -r {}", package.library));
    }
}

/// The command line of one container.
pub(super) fn container(request: &Request) -> Vec<File> {
    let mut draft = Draft::new("docker-run.sh", Syntax::Shell, "your-image is your image.");
    let mut words = vec!["docker run".to_owned()];
    if request.allocator == Allocator::Slackwater {
        draft.note("The library comes from this machine, read-only. The image must have glibc (not Alpine).");
        if let Some(install) = request.install() {
            draft.note("Once, as root:");
            draft.example(&install);
        }
        let folder = INSTALLED.trim_end_matches("/libslackwater_alloc.so");
        words.push(format!("--volume {folder}:{folder}:ro"));
    } else if let Some(package) = request.allocator.package(request.distribution) {
        draft.note(&format!(
            "The image must have the package {} ({}); `slackwater advise docker` says how.",
            package.name, request.distribution
        ));
    }
    rearming(request, &mut draft);
    for Variable { name, value, reasons } in &variables(request) {
        for (index, reason) in reasons.iter().enumerate() {
            draft.note(&if index == 0 { format!("{name}: {reason}") } else { reason.clone() });
        }
        words.push(format!("--env {name}={value}"));
    }
    glibc::tunables(request, &mut draft);
    request.verify(&mut draft);
    draft.gap();
    words.push("your-image".to_owned());
    let last = words.len() - 1;
    for (index, word) in words.iter().enumerate() {
        let indent = if index == 0 { "" } else { "    " };
        let more = if index == last { "" } else { " \\" };
        draft.line(&format!("{indent}{word}{more}"));
    }
    vec![draft.file()]
}

/// Where workers are forked, the environment is not all.
pub(super) fn rearming(request: &Request, draft: &mut Draft) {
    if !request.needs_rearming() || request.service.server.is_some() {
        return;
    }
    draft.note(rearm::WHY);
    draft.note("Under gunicorn and celery one more step is needed:");
    draft.example("slackwater advise gunicorn --allocator jemalloc");
    draft.example("slackwater advise celery --allocator jemalloc");
}
