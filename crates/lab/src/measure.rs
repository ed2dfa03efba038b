//! The numbers that arms are compared by: their words, units and directions.

use std::fmt;

use crate::result::Measure;

/// What a measure is counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// A plain number.
    Number,
}

impl Measure {
    /// Every one, in the order in which tables show them.
    pub const ALL: &'static [Self] = &[
        Self::PeakRss,
        Self::IdleRss,
        Self::IdlePss,
        Self::Cpu,
        Self::P50,
        Self::P99,
        Self::Throughput,
        Self::MinorFaults,
    ];

    /// The word in plans and in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::PeakRss => "peak_rss",
            Self::IdleRss => "idle_rss",
            Self::IdlePss => "idle_pss",
            Self::Cpu => "cpu",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Throughput => "throughput",
            Self::MinorFaults => "minor_faults",
        }
    }

    /// What it is counted in.
    pub const fn unit(self) -> Unit {
        match self {
            Self::PeakRss | Self::IdleRss | Self::IdlePss => Unit::Bytes,
            Self::Cpu | Self::P50 | Self::P99 => Unit::Seconds,
            Self::Throughput | Self::MinorFaults => Unit::Number,
        }
    }

    /// Whether more of it is better.
    pub const fn higher_is_better(self) -> bool {
        matches!(self, Self::Throughput)
    }

    /// Whether only our own generator can measure it.
    pub const fn needs_answers(self) -> bool {
        matches!(self, Self::P50 | Self::P99 | Self::Throughput)
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_and_results_call_a_measure_the_same() {
        for &measure in Measure::ALL {
            let read = serde::Deserialize::deserialize(serde::de::value::StrDeserializer::<
                serde::de::value::Error,
            >::new(measure.key()));
            assert_eq!(read, Ok(measure));
        }
    }
}
