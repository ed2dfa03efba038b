//! The numbers of the governor: every threshold with its unit, its default and its reason, in one table.

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The field's name; it ends in the unit.
    pub name: &'static str,
    /// The value.
    pub value: u64,
    /// What it decides.
    pub meaning: &'static str,
}

macro_rules! policy {
    ($($(#[doc = $meaning:literal])+ $name:ident = $default:expr;)+) => {
        /// The thresholds. Shares are per thousand.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct Policy { $($(#[doc = $meaning])+ pub $name: u64,)+ }

        impl Policy {
            /// What everybody gets who asks for nothing else.
            pub const DEFAULT: Self = Self { $($name: $default,)+ };

            /// The table: every threshold as it is here.
            pub const fn settings(&self) -> [Setting; { [$(stringify!($name)),+].len() }] {
                [$(Setting {
                    name: stringify!($name),
                    value: self.$name,
                    meaning: concat!($($meaning),+).trim_ascii(),
                },)+]
            }

            /// Gives the threshold called `name` another value; `false` when there is none of that name.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name { $(stringify!($name) => self.$name = value,)+ _ => return false }
                true
            }
        }
    };
}

policy! {
    /// Processor share below which a process counts as waiting.
    idle_share_permille = 50;
    /// Processor time beyond that share which a waiting process may use at once: a timer, a health check.
    idle_allowance_ms = 40;
    /// Silence after which a working process counts as idle, before anything was learned.
    idle_wait_ms = 800;
    /// The shortest that this silence becomes by learning.
    idle_wait_min_ms = 400;
    /// The longest that this silence becomes by learning.
    idle_wait_max_ms = 3_200;
    /// Dirty bytes that are worth a purge when the process becomes idle.
    idle_min_bytes = 256 << 10;
    /// The same as a share of the active bytes; the larger of the two counts.
    idle_min_permille = 5;
    /// How long `idle_min_bytes` may lie dirty in an idle process; more bytes, less time.
    idle_hold_ms = 40_000;
    /// Dirty bytes that are never worth a purge, however long they lie.
    never_below_bytes = 128 << 10;

    /// Dirty bytes that a working process may have in any case.
    cap_min_bytes = 16 << 20;
    /// Bytes that a working process may hold above the most that was active lately, as a share of that.
    cap_permille = 250;
    /// How fast that most is forgotten: in this time, two thirds of what active bytes have come down since.
    cap_memory_ms = 4_000;
    /// Processor share that purges while working may cost.
    cap_cost_permille = 10;
    /// How many times dearer such purges become, at the most, by turning out useless.
    cap_backoff_max_permille = 16_000;
    /// Time between two purges while working, at the least.
    cap_every_ms = 250;
    /// What a purged page costs when it is needed again: its fault and its zeroing (2.3 us on a virtual machine)
    /// and its part of the call (0.4 us).
    page_cost_ns = 2_700;

    /// A purge was useless when its pages came back sooner than this.
    soon_ms = 1_000;
    /// It was useless when at least this share of its pages came back.
    refault_permille = 500;

    /// Share of the limit from which every look takes it in.
    watch_permille = 750;
    /// Share of the limit, used now or by the next tick at the present growth, that is pressure.
    pressed_permille = 900;
    /// Share of the limit below which pressure is over.
    calm_permille = 850;
    /// Share of time that tasks wait for memory that is pressure.
    stall_permille = 100;
    /// How long it must be calm before the pressure is called over.
    calm_ms = 5_000;
    /// Dirty bytes that are worth a purge under pressure.
    pressed_min_bytes = 1 << 20;
    /// The decay time under pressure.
    pressed_decay_ms = 0;

    /// Time between looks at a working process.
    busy_tick_ms = 50;
    /// Time between looks at an idle process.
    idle_tick_ms = 250;
    /// Time between looks at a process that has been idle for long.
    asleep_tick_ms = 1_000;
    /// How long idle is for long.
    asleep_after_ms = 10_000;
    /// Time between looks at a working process that comes near its limit.
    near_tick_ms = 20;
    /// Time between looks at the heap, at the least.
    heap_every_ms = 100;
    /// Time between looks at the limit, while it is far.
    limit_every_ms = 200;
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// `bytes` times `permille`, without overflow.
pub(crate) const fn share(bytes: u64, permille: u64) -> u64 {
    let whole = (bytes / 1000).saturating_mul(permille);
    whole.saturating_add((bytes % 1000).saturating_mul(permille) / 1000)
}

/// Milliseconds as nanoseconds.
pub(crate) const fn ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_table_can_be_set() {
        let mut policy = Policy::DEFAULT;
        for setting in Policy::DEFAULT.settings() {
            assert!(policy.set(setting.name, setting.value + 1), "{}", setting.name);
            assert!(setting.meaning.ends_with('.'), "{}", setting.meaning);
            assert!(["ms", "ns", "bytes", "permille"].iter().any(|unit| setting.name.ends_with(unit)));
        }
        for (before, after) in Policy::DEFAULT.settings().iter().zip(policy.settings()) {
            assert_eq!(before.value + 1, after.value, "{}", before.name);
        }
        assert!(!policy.set("idle_wait", 1));
    }

    #[test]
    fn shares_neither_overflow_nor_round_small_ones_away() {
        assert_eq!(share(u64::MAX, 1000), u64::MAX);
        assert_eq!(share(u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(share(1999, 500), 999);
        assert_eq!(share(100, 50), 5);
    }
}
