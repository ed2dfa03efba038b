//! Kubernetes: a strategic merge patch of a deployment. Our library comes from an image of its own, so
//! that the service's image stays as it is.

use super::draft::{Draft, Syntax};
use super::{File, Request, Variable, docker, glibc, variables};
use crate::Allocator;

/// Where the volume with our library is mounted.
const FOLDER: &str = "/slackwater";

/// The image that brings our library.
const IMAGE: &str = "registry.example.com/slackwater-library:1";

pub(super) fn files(request: &Request) -> Vec<File> {
    let ours = request.allocator == Allocator::Slackwater;
    let mut files = Vec::new();
    if ours {
        files.push(image(request));
    }
    let mut draft = Draft::new(
        "slackwater-patch.yaml",
        Syntax::Yaml,
        "a patch for a deployment called web; for a StatefulSet or DaemonSet it is the same.",
    );
    draft.example("kubectl patch deployment web --patch-file slackwater-patch.yaml");
    docker::rearming(request, &mut draft);
    if let (false, Some(package)) = (ours, request.allocator.package(request.distribution)) {
        draft.note(&format!(
            "The image must have the package {} ({}); `slackwater advise docker` says how.",
            package.name, request.distribution
        ));
    }
    draft.line("spec:");
    draft.line("  template:");
    draft.line("    spec:");
    if ours {
        init_container(&mut draft);
    }
    draft.line("      containers:");
    draft.note_at(8, "The name of your container: by it the patch finds its place.");
    draft.line("        - name: web");
    draft.line("          env:");
    for variable in &variables(request) {
        entry(&mut draft, variable);
    }
    if ours {
        draft.line("          volumeMounts:");
        draft.line("            - name: slackwater");
        draft.line(&format!("              mountPath: {FOLDER}"));
        draft.line("              readOnly: true");
        draft.line("      volumes:");
        draft.line("        - name: slackwater");
        draft.line("          emptyDir:");
        draft.line("            sizeLimit: 16Mi");
    }
    glibc::tunables(request, &mut draft);
    if ours {
        draft.note(
            "resources.limits.memory stays what it is: the library reads it and gives memory back before it is \
            reached. Lower it when RSS has shown for a while what the service needs.",
        );
    }
    request.verify(&mut draft);
    files.push(draft.file());
    files
}

/// The recipe of the image that brings our library.
fn image(request: &Request) -> File {
    let mut draft = Draft::new(
        "Dockerfile.slackwater-library",
        Syntax::Dockerfile,
        "an image that holds nothing but the library and cp.",
    );
    let found = request.library.as_deref().unwrap_or("target/release/libslackwater_alloc.so");
    draft.example(&format!("cp {found} ."));
    draft.example(&format!("docker build --file Dockerfile.slackwater-library --tag {IMAGE} ."));
    draft.example(&format!("docker push {IMAGE}"));
    draft.line("FROM busybox:1.37");
    draft.line("COPY libslackwater_alloc.so /libslackwater_alloc.so");
    draft.file()
}

fn init_container(draft: &mut Draft) {
    draft.line("      initContainers:");
    draft.note_at(8, "Puts the library into a volume before the service starts.");
    draft.line("        - name: slackwater-library");
    draft.line(&format!("          image: {IMAGE}"));
    draft.line(&format!("          command: [\"cp\", \"/libslackwater_alloc.so\", \"{FOLDER}/\"]"));
    draft.line("          volumeMounts:");
    draft.line("            - name: slackwater");
    draft.line(&format!("              mountPath: {FOLDER}"));
}

fn entry(draft: &mut Draft, variable: &Variable) {
    for reason in &variable.reasons {
        draft.note_at(12, reason);
    }
    let value = match variable.name.as_str() {
        "LD_PRELOAD" if variable.value.ends_with("libslackwater_alloc.so") => {
            format!("{FOLDER}/libslackwater_alloc.so")
        }
        _ => variable.value.clone(),
    };
    draft.line(&format!("            - name: {}", variable.name));
    draft.line(&format!("              value: \"{value}\""));
}
