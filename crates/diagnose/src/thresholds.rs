//! Every threshold that a finding or a slope depends on, in one place, with its reason.

/// 1 MiB.
const MIB: u64 = 1 << 20;

// ---- one look --------------------------------------------------------------------------------

/// Slack below this, in the whole service, is not worth a person's time: a fresh worker of a small
/// application holds that much.
pub const SLACK_MIN_BYTES: u64 = 32 * MIB;

/// Slack below this share of RSS is the ordinary cost of a general-purpose allocator: jemalloc's
/// and glibc's own figures under steady load lie below it.
pub const SLACK_MIN_SHARE: f64 = 0.25;

/// Slack of this size counts whatever its share: a gigabyte is a gigabyte.
pub const SLACK_LARGE_BYTES: u64 = 1024 * MIB;

/// From this share of RSS on, large slack counts.
pub const SLACK_LARGE_SHARE: f64 = 0.10;

/// A part of the slack below this share of it is not what keeps it.
pub const SLACK_PART_SHARE: f64 = 0.20;

/// A circumstance (arenas, thresholds, huge pages) is named when at least this many bytes hang on it.
pub const CAUSE_MIN_BYTES: u64 = 16 * MIB;

/// A circumstance is named when at least this share of RSS hangs on it.
pub const CAUSE_MIN_SHARE: f64 = 0.05;

/// glibc's thresholds at start. Higher ones were set by someone, or by glibc itself.
pub const GLIBC_THRESHOLD_BYTES: u64 = 128 * 1024;

/// Arenas in one process from which on their number is a cause: glibc begins to share arenas only
/// at eight per processor.
pub const ARENAS_MANY: usize = 8;

/// A master that holds less has not loaded the application, so there is nothing to share.
pub const UNSHARED_MASTER_BYTES: u64 = 32 * MIB;

/// A worker that shares less of its heap with others was started afresh, not forked.
pub const UNSHARED_FORKED_BYTES: u64 = 256 * 1024;

/// From this share on, of what the master loaded, workers' own copies are worth a word.
pub const UNSHARED_MIN_SHARE: f64 = 0.5;

/// The container's figure is mostly page cache when anonymous memory is below this share of it.
pub const CACHE_ANON_SHARE: f64 = 0.6;

/// A group's figure speaks of the service when this share of the group's anonymous memory is its own.
pub const CACHE_OWN_SHARE: f64 = 0.5;

/// Less page cache than this is no reason for a wrong alarm.
pub const CACHE_MIN_BYTES: u64 = 64 * MIB;

/// Huge pages inflate a heap when they are at least this share of RSS, and slack lies in them.
pub const HUGE_MIN_SHARE: f64 = 0.25;

/// More than this on swap changes what RSS means.
pub const SWAP_MIN_BYTES: u64 = 16 * MIB;

/// A supervisor that serves nothing should not hold more than a bare interpreter with its server
/// imported needs.
pub const SUPERVISOR_MAX_BYTES: u64 = 64 * MIB;

/// Above this share of RSS, what is unexplained lowers the confidence in every other finding.
pub const UNEXPLAINED_GOOD_SHARE: f64 = 0.02;

/// Unexplained memory below this is the noise of a running target.
pub const UNEXPLAINED_MIN_BYTES: u64 = 16 * MIB;

/// Above this share of RSS, what is unexplained forbids a verdict.
pub const UNEXPLAINED_MAX_SHARE: f64 = 0.20;

// ---- watching --------------------------------------------------------------------------------

/// Fewer samples than this say nothing.
pub const GROWTH_MIN_SAMPLES: usize = 8;

/// Two-sided 99 %: growth is claimed of several subjects at once, and memory's level wanders.
pub const GROWTH_Z: f64 = 2.58;

/// A gain below this over the whole time watched is not called growth.
pub const GROWTH_MIN_BYTES: f64 = MIB as f64;

/// A gain below this share of the level is not called growth.
pub const GROWTH_MIN_SHARE: f64 = 0.002;

/// Of the gain, the lowest points must gain at least this share: a sawtooth's stay where they are.
pub const GROWTH_FLOOR_SHARE: f64 = 0.4;

/// Each half must rise at least this share as fast as the whole: a warm-up's second half does not.
pub const GROWTH_HALF_SHARE: f64 = 0.5;

/// A level whose lowest points rose by this share of all its movement has settled higher, if it does
/// not grow.
pub const SETTLED_SHARE: f64 = 0.5;

/// Anonymous maps that grow at less than this part of the stacks' rate are the frames on them.
pub const FRAMES_SHARE: f64 = 0.5;

/// A process that makes up this share of the service's growth is named.
pub const CULPRIT_SHARE: f64 = 0.6;

// ---- verifying -------------------------------------------------------------------------------

/// From this share of its limit on, a memory cgroup is close to it.
pub const LIMIT_NEAR_SHARE: f64 = 0.9;
