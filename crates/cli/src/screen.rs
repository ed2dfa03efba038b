//! The terminal as a screen: drawn anew each time, single keys, and everything as before at the end.

use std::io::{self, Read, Stdin, Stdout, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

/// Tenths of a second that a key is waited for.
const PATIENCE: u8 = 1;

/// A terminal that shows whole screens. Dropping it gives it back as it was.
pub(crate) struct Screen {
    input: Stdin,
    output: Stdout,
    before: Termios,
}

impl Screen {
    /// Takes the terminal. Signals by key (Ctrl-C) stay.
    pub(crate) fn take() -> io::Result<Self> {
        let (input, output) = (io::stdin(), io::stdout());
        let before = tcgetattr(&input)?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = PATIENCE;
        tcsetattr(&input, OptionalActions::Now, &raw)?;
        let mut screen = Self { input, output, before };
        // The other screen, without a cursor.
        screen.write("\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }

    /// Columns and lines.
    pub(crate) fn size(&self) -> (usize, usize) {
        match tcgetwinsize(&self.output) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            _ => (80, 24),
        }
    }

    /// Draws a screen full of lines.
    pub(crate) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        // Each line clears what was left of the former one: nothing flickers.
        self.write(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")))
    }

    /// The next key, if one is pressed soon.
    pub(crate) fn key(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        match self.input.lock().read(&mut byte) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.output.write_all(text.as_bytes())?;
        self.output.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone away needs nothing.
        let _ = self.write("\x1b[?25h\x1b[?1049l");
        let _ = tcsetattr(&self.input, OptionalActions::Now, &self.before);
    }
}
