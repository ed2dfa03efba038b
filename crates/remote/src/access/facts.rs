//! What was found about a target and about us, before anybody judges it.

use slackwater_base::Pid;
use slackwater_procfs::State;

use super::{Attempt, Call, Container, Image};

/// The bit of CAP_SYS_PTRACE in a capability set.
const CAP_SYS_PTRACE: u64 = 1 << 19;

/// The bit of CAP_SYS_ADMIN in a capability set.
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// The bit of CAP_CHECKPOINT_RESTORE in a capability set.
const CAP_CHECKPOINT_RESTORE: u64 = 1 << 40;

/// Everything that the checks are made from.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who was asked for.
    pub pid: Pid,
    /// What is there under that pid; `None` when /proc shows nothing.
    pub target: Option<Target>,
    /// Ourselves.
    pub us: Credentials,
    /// Yama's `ptrace_scope`; `None` when the kernel has no Yama.
    pub yama: Option<Yama>,
    /// The kernel's release, like `6.1.0-18-amd64`.
    pub kernel: String,
    /// The container we run in.
    pub container: Option<Container>,
    /// What was tried, in order.
    pub attempts: Vec<Attempt>,
}

impl Facts {
    /// How `call` went, if it was tried.
    pub fn attempt(&self, call: Call) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.call == call)
    }
}

/// A process, as /proc shows it to everybody.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Its parent.
    pub parent: Pid,
    /// Whether it is a thread of the kernel.
    pub is_kernel_thread: bool,
    /// The process that traces it, with its name.
    pub tracer: Option<(Pid, String)>,
    /// Who it is.
    pub credentials: Credentials,
    /// Whether the kernel lets its own user look into it. `None` when /proc does not tell: for
    /// targets of root.
    pub is_dumpable: Option<bool>,
    /// Whether its processor checks return addresses against a shadow stack.
    pub has_shadow_stack: bool,
    /// Its namespaces against ours.
    pub namespaces: Namespaces,
    /// Its pid in each pid namespace from ours inwards.
    pub namespace_pids: Vec<i32>,
    /// What it runs, or why that could not be read.
    pub image: Result<Image, String>,
}

/// Who a process is, for the kernel's checks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Credentials {
    /// Real, effective, saved and file system user.
    pub uids: [u32; 4],
    /// Real, effective, saved and file system group.
    pub gids: [u32; 4],
    /// The effective capabilities.
    pub capabilities: u64,
    /// The mode of its seccomp: 0 none, 1 strict, 2 a filter.
    pub seccomp: u64,
}

impl Credentials {
    /// Whether it may look into processes of others.
    pub const fn has_sys_ptrace(&self) -> bool {
        self.capabilities & CAP_SYS_PTRACE != 0
    }

    /// Whether it may see frame numbers.
    pub const fn has_sys_admin(&self) -> bool {
        self.capabilities & CAP_SYS_ADMIN != 0
    }

    /// Whether it may open files by their mappings; CAP_SYS_ADMIN lets it too.
    pub const fn has_checkpoint_restore(&self) -> bool {
        self.capabilities & CAP_CHECKPOINT_RESTORE != 0
    }

    /// Whether the kernel takes `target` for the same user: the rule of `ptrace(2)`, which compares
    /// our file system ids with all of the target's but those.
    pub fn is_user_of(&self, target: &Self) -> bool {
        target.uids[..3].iter().all(|uid| *uid == self.uids[3])
            && target.gids[..3].iter().all(|gid| *gid == self.gids[3])
    }
}

/// Whether two processes share a namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// They do.
    Same,
    /// They do not.
    Other,
    /// We may not know.
    Hidden,
}

/// The target's namespaces against ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Namespaces {
    /// Process ids.
    pub pid: Relation,
    /// Mounts.
    pub mount: Relation,
    /// Users.
    pub user: Relation,
}

/// Yama's `ptrace_scope`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Yama(pub u8);

impl Yama {
    /// Attaching is left to the ordinary rules.
    pub const OPEN: Self = Self(0);
    /// Nobody attaches to anybody, and no reboot-less way back.
    pub const NO_ATTACH: Self = Self(3);
}
