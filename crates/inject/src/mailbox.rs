//! Asking a target that watches a word for it: nothing is entered, no thread is stopped.
//!
//! ```text
//! command   n ──▶ n + 1      written from outside, the only write there is
//! served              n ──▶ n + 1      written by the target when it has done what is asked
//! ```
//!
//! Invariant: four bytes are written, in private writable memory of the target. What is asked twice is
//! done at least once; a request that nobody waits for any more is still good.

use std::time::{Duration, Instant};

use slackwater_base::{Addr, Range};
use slackwater_memory::Sharing;

use crate::error::InjectError;
use crate::{Target, sys};

/// Between two looks at the answer.
const PAUSE: Duration = Duration::from_millis(2);

/// The two words, four bytes each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mailbox {
    /// Raised by one to ask.
    pub command: Addr,
    /// The last command that was carried out.
    pub served: Addr,
}

/// What came of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It was carried out, this long after it was asked for.
    Served(Duration),
    /// It was not, within the patience there was. It may be yet.
    Silence,
}

impl Target<'_> {
    /// Asks by `mailbox`, and waits for the answer as long as `patience` says.
    ///
    /// # Errors
    /// When the mailbox lies where none can be, or the process is gone. Nothing was written then, or
    /// nobody is left to read it.
    pub fn post(&self, mailbox: Mailbox, patience: Duration) -> Result<Reply, InjectError> {
        self.require_mailbox(mailbox)?;
        let command = self.word(mailbox.command)?.wrapping_add(1);
        sys::write_memory(self.memory(), mailbox.command, &command.to_ne_bytes())
            .map_err(|_| InjectError::Gone { pid: self.pid() })?;
        let start = Instant::now();
        loop {
            // Others may ask too: an answer to a later request answers this one.
            let is_served = self.word(mailbox.served)?.wrapping_sub(command) < u32::MAX / 2;
            if is_served {
                return Ok(Reply::Served(start.elapsed()));
            }
            if start.elapsed() >= patience {
                return Ok(Reply::Silence);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// A write through /proc heeds no protection, so where it goes is checked first.
    fn require_mailbox(&self, mailbox: Mailbox) -> Result<(), InjectError> {
        let mappings = self.mappings()?;
        let is_sound = |word: Addr| {
            let word_bytes = Range::sized(word, 4);
            let holds = |mapping: &&slackwater_memory::Mapping| mapping.range.covers(word_bytes);
            let mapping = mappings.iter().find(holds);
            word.is_aligned(4)
                && mapping.is_some_and(|mapping| mapping.access.write && mapping.sharing == Sharing::Private)
        };
        if is_sound(mailbox.command) && is_sound(mailbox.served) {
            Ok(())
        } else {
            Err(InjectError::Unsupported { pid: self.pid(), what: "its command word is not in its data" })
        }
    }

    fn word(&self, at: Addr) -> Result<u32, InjectError> {
        let mut bytes = [0; 4];
        sys::read_memory(self.memory(), at, &mut bytes).map_err(|_| InjectError::Gone { pid: self.pid() })?;
        Ok(u32::from_ne_bytes(bytes))
    }
}
