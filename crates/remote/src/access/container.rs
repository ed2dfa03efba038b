//! The container we run in, and the lines that give us the missing right there.

use std::path::Path;

use slackwater_procfs::Root;

/// Inodes of the namespaces that the kernel starts with, from include/uapi/linux/nsfs.h (numbered so
/// since 3.8). A container has at least one of its own, even when it shares the host's pids.
const INITIAL_NAMESPACES: [(&str, u64); 3] =
    [("pid", 0xefff_fffc), ("uts", 0xefff_fffe), ("ipc", 0xefff_ffff)];

fn is_in(root: &Root, kind: &str, inode: u64) -> bool {
    rustix::fs::stat(root.path().join("self/ns").join(kind)).is_ok_and(|stat| stat.st_ino == inode)
}

/// Who made the container.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Container {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// A pod of Kubernetes.
    Kubernetes,
}

impl Container {
    /// The container of the calling process, by the marks that its makers leave. The marks alone do
    /// not count: a virtual machine made from a container's image has them too.
    pub(super) fn ours(root: &Root) -> Option<Self> {
        if INITIAL_NAMESPACES.iter().all(|(kind, inode)| is_in(root, kind, *inode)) {
            return None;
        }
        Self::of(
            std::env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
            Path::new("/run/.containerenv").exists(),
            Path::new("/.dockerenv").exists(),
        )
    }

    /// Kubernetes comes first: its nodes may run any of the others below it.
    const fn of(has_service_host: bool, has_containerenv: bool, has_dockerenv: bool) -> Option<Self> {
        if has_service_host {
            Some(Self::Kubernetes)
        } else if has_containerenv {
            Some(Self::Podman)
        } else if has_dockerenv {
            Some(Self::Docker)
        } else {
            None
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
            Self::Kubernetes => "Kubernetes",
        }
    }

    /// The line that starts a container in which we hold `capability` (without `CAP_`), with the
    /// target in sight.
    pub(super) fn grant(self, capability: &str) -> String {
        match self {
            Self::Docker => format!("docker run --cap-add {capability} --pid container:TARGET IMAGE"),
            Self::Podman => format!("podman run --cap-add {capability} --pid container:TARGET IMAGE"),
            Self::Kubernetes => SYSADMIN.to_owned(),
        }
    }

    /// The line that starts a container without a seccomp filter.
    pub(super) fn without_filter(self) -> String {
        match self {
            Self::Docker => {
                "docker run --security-opt seccomp=unconfined --pid container:TARGET IMAGE".to_owned()
            }
            Self::Podman => {
                "podman run --security-opt seccomp=unconfined --pid container:TARGET IMAGE".to_owned()
            }
            Self::Kubernetes => SYSADMIN.to_owned(),
        }
    }
}

/// The debug profile that gives every capability and no seccomp filter.
const SYSADMIN: &str = "kubectl debug POD -it --image=IMAGE --profile=sysadmin --target=CONTAINER";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_a_pod_whatever_runs_it() {
        assert_eq!(Container::of(true, true, true), Some(Container::Kubernetes));
        assert_eq!(Container::of(false, true, false), Some(Container::Podman));
        assert_eq!(Container::of(false, false, true), Some(Container::Docker));
        assert_eq!(Container::of(false, false, false), None);
    }
}
