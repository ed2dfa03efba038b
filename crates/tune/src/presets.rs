//! What each allocator is given when nobody says otherwise: the settings that keep a Python service
//! small, and why.
//!
//! Invariant: the one place where these values are stated. `run` applies them, advice prints them.

use slackwater_base::words;

use crate::Allocator;

/// A setting that an allocator gets unless the user or the environment sets it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preset {
    /// The setting.
    pub key: &'static str,
    /// Its value, as the allocator wants it written.
    pub value: &'static str,
    /// Why.
    pub why: &'static str,
}

words! {
    /// Whether Python's own allocator of small objects stays.
    Pymalloc {
        /// It stays: small objects are fast, and the arenas that survivors pin are kept.
        Keep = "keep",
        /// `PYTHONMALLOC=malloc`: small objects go to the allocator too, and nearly all comes back.
        Off = "off",
    }
}

/// The environment variable that switches pymalloc.
pub const PYTHONMALLOC: &str = "PYTHONMALLOC";

impl Pymalloc {
    /// The value of [`PYTHONMALLOC`] that says so.
    pub const fn value(self) -> &'static str {
        match self {
            Self::Keep => "pymalloc",
            Self::Off => "malloc",
        }
    }
}

/// The settings of `allocator`. Ours has its defaults built in.
pub const fn presets(allocator: Allocator) -> &'static [Preset] {
    const fn preset(key: &'static str, value: &'static str, why: &'static str) -> Preset {
        Preset { key, value, why }
    }
    match allocator {
        Allocator::Slackwater => &[],
        Allocator::Jemalloc => {
            const JEMALLOC: &[Preset] = &[
                preset("narenas", "1", "what one thread freed, the others use again: peaks do not add up"),
                preset("dirty_decay_ms", "1000", "unused pages go back after about a second"),
                preset("muzzy_decay_ms", "0", "pages go back at once, so that RSS shows it"),
                preset("oversize_threshold", "0", "large blocks decay like others, not at every free"),
                preset("background_thread", "true", "an idle process gives back too; a fork loses it"),
            ];
            JEMALLOC
        }
        // Nothing that it can be told makes an idle process give memory back.
        Allocator::Mimalloc | Allocator::Tcmalloc => &[],
        Allocator::Glibc => {
            const GLIBC: &[Preset] = &[
                preset("arena_max", "2", "few arenas: peaks of single threads do not add up"),
                preset("trim_threshold", "131072", "ends of arenas go back, and the limit is not raised"),
                preset("mmap_threshold", "131072", "large blocks go back when freed, for good"),
            ];
            GLIBC
        }
    }
}

/// What Python is told of pymalloc under `allocator`; `None` for nothing.
///
/// Its arenas are mappings of its own, which no allocator reaches, and one survivor pins a whole arena.
/// So it goes where the allocator gives memory back; elsewhere that would only cost time. Our library puts
/// pools of its own in its place, by itself, where Python is told nothing.
pub const fn pymalloc(allocator: Allocator) -> Option<Pymalloc> {
    match allocator {
        Allocator::Jemalloc => Some(Pymalloc::Off),
        Allocator::Slackwater | Allocator::Mimalloc | Allocator::Tcmalloc | Allocator::Glibc => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings;

    #[test]
    fn presets_are_settings_that_exist_with_values_as_they_are_written() {
        for &allocator in Allocator::ALL {
            for preset in presets(allocator) {
                let assigned = settings::assign(allocator, preset.key, preset.value).expect(preset.key);
                assert_eq!((assigned.setting.key, assigned.value.as_str()), (preset.key, preset.value));
            }
        }
    }
}
