//! Lines of a file of any length, through one buffer of fixed size.

use std::io::{self, Read};

/// Bytes of the buffer, and so the length at which a line is cut. The longest honest line holds a
/// path of 4096 bytes, four characters per byte at worst.
const BUFFER_BYTES: usize = 64 << 10;

/// Reads lines without their line feeds. Lines longer than 64 KiB are cut to that length.
pub struct Lines<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    finished: bool,
}

impl<R: Read> Lines<R> {
    /// The lines of `source`.
    pub fn new(source: R) -> Self {
        Self { source, buffer: vec![0; BUFFER_BYTES].into_boxed_slice(), start: 0, end: 0, finished: false }
    }

    /// The next line, or `None` at the end. A last line without line feed is a line too.
    ///
    /// # Errors
    /// What the source said; the position is then unspecified.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = self.start;
        loop {
            if let Some(found) = self.buffer[searched..self.end].iter().position(|byte| *byte == b'\n') {
                let line = self.start..searched + found;
                self.start = line.end + 1;
                return Ok(Some(&self.buffer[line]));
            }
            searched = self.end;
            if self.finished {
                let line = self.start..self.end;
                self.start = self.end;
                return Ok((!line.is_empty()).then(|| &self.buffer[line]));
            }
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                searched -= self.start;
                self.start = 0;
            }
            if self.end == self.buffer.len() {
                return self.cut();
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.finished = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }

    /// Hands out the full buffer as one line and skips to the next line feed.
    fn cut(&mut self) -> io::Result<Option<&[u8]>> {
        let mut byte = [0];
        loop {
            match self.source.read(&mut byte) {
                Ok(0) => self.finished = true,
                Ok(_) if byte[0] != b'\n' => continue,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            break;
        }
        let line = self.start..self.end;
        self.start = self.end;
        Ok(Some(&self.buffer[line]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(text: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            all.push(line.to_vec());
        }
        all
    }

    #[test]
    fn lines_of_every_shape() {
        assert_eq!(collect(b""), Vec::<Vec<u8>>::new());
        assert_eq!(collect(b"a\n\nb"), [b"a".to_vec(), b"".to_vec(), b"b".to_vec()]);
        assert_eq!(collect(b"a\n"), [b"a".to_vec()]);
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_cut_and_the_next_one_is_whole() {
        let mut text = vec![b'x'; 3 * BUFFER_BYTES];
        text.extend_from_slice(b"\nshort\n");
        let lines = collect(&text);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len(), BUFFER_BYTES);
        assert_eq!(lines[1], b"short");
    }

    #[test]
    fn lines_across_buffer_borders_are_whole() {
        let text: Vec<u8> = (0..40_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        let lines = collect(&text);
        assert_eq!(lines.len(), 40_000);
        assert!(
            lines.iter().enumerate().all(|(number, line)| *line == format!("line {number}").into_bytes())
        );
    }
}
