//! The formats of /proc, one file each. Pure: bytes in, values out.

pub(crate) mod auxv;
pub(crate) mod cgroup;
pub(crate) mod field;
pub(crate) mod lines;
pub(crate) mod maps;
pub(crate) mod mounts;
pub(crate) mod pagemap;
pub(crate) mod smaps;
pub(crate) mod stat;
pub(crate) mod status;
pub(crate) mod syscall;
