//! One field of a foreign struct: its offset and the type it holds.

use core::fmt;
use core::marker::PhantomData;

use slackwater_base::Addr;

/// A field of type `T` at a fixed offset of a struct in the target.
pub struct Field<T> {
    offset: u64,
    holds: PhantomData<fn() -> T>,
}

impl<T> Field<T> {
    /// The field at `offset` bytes from the start of its struct.
    pub const fn at(offset: u64) -> Self {
        Self { offset, holds: PhantomData }
    }

    /// Bytes from the start of the struct.
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// Where the field of the struct at `base` lies.
    pub fn of(self, base: Addr) -> Addr {
        base + self.offset
    }
}

impl<T: Scalar> Field<T> {
    /// The field's value in a copy of its struct; `None` when the copy is too short.
    pub fn get(self, bytes: &[u8]) -> Option<T> {
        T::from_le(bytes.get(usize::try_from(self.offset).ok()?..)?)
    }
}

impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Field<T> {}

impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.offset)
    }
}

/// A number as it lies in the target's memory, little-endian.
pub trait Scalar: Sized {
    /// The value that `bytes` start with; `None` when they are too few.
    fn from_le(bytes: &[u8]) -> Option<Self>;
}

macro_rules! scalars {
    ($($number:ty),+) => {
        $(impl Scalar for $number {
            fn from_le(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk().copied().map(<$number>::from_le_bytes)
            }
        })+
    };
}

scalars!(u8, u16, u32, i32, u64, i64);

impl Scalar for Addr {
    fn from_le(bytes: &[u8]) -> Option<Self> {
        <u64 as Scalar>::from_le(bytes).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_copy_has_no_value() {
        let field = Field::<u32>::at(4);
        assert_eq!(field.get(&[0, 0, 0, 0, 1, 2, 0, 0]), Some(0x201));
        assert_eq!(field.get(&[0; 7]), None);
        assert_eq!(field.get(&[]), None);
        assert_eq!(Field::<Addr>::at(0).get(&[1, 0, 0, 0, 0, 0, 0, 0]), Some(Addr(1)));
    }
}
