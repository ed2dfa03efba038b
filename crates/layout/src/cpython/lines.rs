//! From an instruction to its line, by the table that each code object carries.
//!
//! Invariant: any bytes are bearable; a table that does not reach the instruction gives no line.
//!
//! Source: Objects/lnotab_notes.txt at v3.8.18 and v3.10.13, Objects/locations.md at v3.11.7.

/// How a code object writes down its lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineTable {
    /// 3.8, 3.9 (`co_lnotab`): pairs of increments of address and line.
    Increments,
    /// 3.10 (`co_linetable`): pairs of a range's length and an increment of the line, -128 for no line.
    Ranges,
    /// Since 3.11: entries of variable length with columns.
    Locations,
}

impl LineTable {
    /// The line of the instruction at `offset_bytes`, in code that begins at `first_line`.
    pub fn line_at(self, table: impl Iterator<Item = u8>, first_line: u32, offset_bytes: u32) -> Option<u32> {
        let mut bytes = table;
        let first = i64::from(first_line);
        let line = match self {
            Self::Increments => increments(&mut bytes, first, offset_bytes),
            Self::Ranges => ranges(&mut bytes, first, offset_bytes)?,
            Self::Locations => locations(&mut bytes, first, offset_bytes)?,
        };
        u32::try_from(line).ok()
    }
}

fn increments(bytes: &mut impl Iterator<Item = u8>, first_line: i64, offset_bytes: u32) -> i64 {
    let (mut line, mut at) = (first_line, 0_u32);
    while let (Some(length), Some(step)) = (bytes.next(), bytes.next()) {
        at += u32::from(length);
        if at > offset_bytes {
            break;
        }
        line += i64::from(step as i8);
    }
    line
}

fn ranges(bytes: &mut impl Iterator<Item = u8>, first_line: i64, offset_bytes: u32) -> Option<i64> {
    let (mut line, mut end) = (first_line, 0_u32);
    while let (Some(length), Some(step)) = (bytes.next(), bytes.next()) {
        end += u32::from(length);
        let step = step as i8;
        if step != i8::MIN {
            line += i64::from(step);
        }
        if offset_bytes < end {
            return (step != i8::MIN).then_some(line);
        }
    }
    None
}

fn locations(bytes: &mut impl Iterator<Item = u8>, first_line: i64, offset_bytes: u32) -> Option<i64> {
    let (mut line, mut end) = (first_line, 0_u32);
    while let Some(head) = bytes.next() {
        end += (u32::from(head & 7) + 1) * 2;
        let mut has_line = true;
        match head >> 3 & 15 {
            0..=9 => {
                bytes.next();
            }
            code @ 10..=12 => {
                line += i64::from(code - 10);
                bytes.nth(1);
            }
            13 => line += signed(bytes)?,
            14 => {
                line += signed(bytes)?;
                for _ in 0..3 {
                    unsigned(bytes)?;
                }
            }
            _ => has_line = false,
        }
        if offset_bytes < end {
            return has_line.then_some(line);
        }
    }
    None
}

/// Six bits per byte, least significant first.
fn unsigned(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut value = 0;
    for shift in (0..60).step_by(6) {
        let byte = bytes.next()?;
        value |= u64::from(byte & 63) << shift;
        if byte & 64 == 0 {
            return Some(value);
        }
    }
    None
}

/// The sign is the lowest bit.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let value = unsigned(bytes)?;
    let size = (value >> 1) as i64;
    Some(if value & 1 == 0 { size } else { -size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: LineTable, table: &[u8], expected: &[(u32, Option<u32>)]) {
        for &(offset, line) in expected {
            assert_eq!(format.line_at(table.iter().copied(), 10, offset), line, "{format:?} at {offset}");
        }
    }

    #[test]
    fn increments_of_3_8() {
        // Six bytes of line 11, then four of 13, then line 9.
        let table = [0, 1, 6, 2, 4, 0xfc];
        check(LineTable::Increments, &table, &[(0, Some(11)), (4, Some(11)), (6, Some(13)), (10, Some(9))]);
    }

    #[test]
    fn ranges_of_3_10() {
        let table = [4, 1, 2, 0x80, 6, 0xff];
        check(LineTable::Ranges, &table, &[(0, Some(11)), (4, None), (6, Some(10)), (12, None)]);
    }

    #[test]
    fn locations_of_3_11() {
        let head = |code: u8, units: u8| 0x80 | code << 3 | (units - 1);
        let table =
            [head(0, 1), 0x11, head(11, 2), 1, 2, head(13, 1), 0b101, head(15, 1), head(14, 1), 4, 0, 1, 1];
        let expected = [
            (0, Some(10)),
            (2, Some(11)),
            (5, Some(11)),
            (6, Some(9)),
            (8, None),
            (10, Some(11)),
            (12, None),
        ];
        check(LineTable::Locations, &table, &expected);
    }

    #[test]
    fn a_table_that_does_not_end_its_numbers_gives_no_line() {
        check(LineTable::Locations, &[0x80 | 13 << 3, 0xff, 0xff], &[(0, None)]);
        check(LineTable::Locations, &[], &[(0, None)]);
    }
}
