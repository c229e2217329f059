//! What a written value says of itself: when it was due, and where it belongs.

use bytes::Bytes;

/// What tells a value of this load from what was there before.
const MARK: &str = "\"due ";

/// The smallest value that holds every stamp: mark, three numbers of up to 13, 4
/// and 8 digits, the spaces and the quotes.
pub(crate) const LEAST: usize = 40;

/// What stands at the head of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When the write was due, in nanoseconds since the epoch of the run.
    pub(crate) due: u64,
    /// Where its key stands among those of the plan.
    pub(crate) slot: usize,
    /// How many times the key has been written by this load, this time included.
    pub(crate) version: u64,
}

impl Stamp {
    /// A value of `bytes` bytes: a JSON text.
    pub(crate) fn value(&self, bytes: usize) -> Bytes {
        let Self { due, slot, version } = self;
        let mut value = format!("{MARK}{due} {slot} {version} ").into_bytes();
        value.resize(bytes.saturating_sub(1).max(value.len()), b'.');
        value.push(b'"');
        value.into()
    }

    /// Reads a value; `None` if it is not of this load.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(MARK.as_bytes())?;
        let mut numbers = rest.splitn(4, |byte| *byte == b' ').map(|number| std::str::from_utf8(number).ok());
        let due = numbers.next()??.parse().ok()?;
        let slot = numbers.next()??.parse().ok()?;
        let version = numbers.next()??.parse().ok()?;
        Some(Self { due, slot, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_what_it_is() {
        let stamp = Stamp { due: 600_000_000_000, slot: 999, version: 12_345_678 };
        for bytes in [LEAST, 55, 4_096] {
            let value = stamp.value(bytes);
            assert_eq!((value.len(), Stamp::read(&value)), (bytes, Some(stamp)));
            assert!(serde_json::from_slice::<String>(&value).is_ok());
        }
        assert_eq!(Stamp::read(b"\"kafka:9092\""), None);
        assert_eq!(Stamp::read(b"\"due 1 2\""), None);
    }
}
