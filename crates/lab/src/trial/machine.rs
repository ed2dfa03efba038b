//! What the machine did besides serving, over one trial.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Processor time of the whole machine and of this program, at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// All processors, working for anybody; seconds.
    busy_seconds: f64,
    /// Given to others by the hypervisor; seconds.
    stolen_seconds: f64,
    own: Duration,
}

impl Machine {
    /// As it is now; `None` where the kernel does not say.
    pub(super) fn now() -> Option<Self> {
        let (busy, stolen) = ticks(&fs::read_to_string("/proc/stat").ok()?)?;
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1) as f64;
        let own = clock_gettime(ClockId::ProcessCPUTime);
        Some(Self {
            busy_seconds: busy as f64 / ticks_per_second,
            stolen_seconds: stolen as f64 / ticks_per_second,
            own: Duration::new(own.tv_sec.try_into().unwrap_or(0), own.tv_nsec.try_into().unwrap_or(0)),
        })
    }

    /// What the hypervisor gave to others since.
    pub(super) fn stolen_since(self, before: Self) -> f64 {
        self.stolen_seconds - before.stolen_seconds
    }

    /// What neither this program nor the service, which used `service_seconds`, worked since.
    pub(super) fn others_since(self, before: Self, service_seconds: f64) -> f64 {
        let own = self.own.saturating_sub(before.own).as_secs_f64();
        // The kernel counts in ticks, we in nanoseconds.
        (self.busy_seconds - before.busy_seconds - own - service_seconds).max(0.0)
    }
}

/// The first line of /proc/stat: `cpu user nice system idle iowait irq softirq steal guest guest_nice`; guests
/// are in user and nice already.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let mut next = || fields.next()?.parse::<u64>().ok();
    let (user, nice, system, _idle, _iowait) = (next()?, next()?, next()?, next()?, next()?);
    let (irq, softirq, steal) = (next()?, next()?, next()?);
    Some((user + nice + system + irq + softirq, steal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_neither_idle_nor_stolen() {
        let line = "cpu  100 20 3 9999 888 4 5 77 50 6\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(ticks(line), Some((132, 77)));
        assert_eq!(ticks("cpu  1 2 3\n"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn others_are_what_is_left() {
        let at = |busy_seconds, stolen_seconds, own| Machine {
            busy_seconds,
            stolen_seconds,
            own: Duration::from_secs_f64(own),
        };
        let (before, after) = (at(100.0, 5.0, 1.0), at(110.0, 5.5, 1.5));
        assert!((after.others_since(before, 7.0) - 2.5).abs() < 1e-9);
        assert!((after.stolen_since(before) - 0.5).abs() < 1e-9);
        assert_eq!(after.others_since(before, 20.0), 0.0);
    }
}
