//! MurmurHash3 (x86, 32 bits, seed 0), and values as the bytes that go into it: in
//! the deterministic encoding of CBOR (RFC 8949, section 4.2). Both take what comes
//! piece by piece, so that nothing is put together first.

use super::number::Num;
use super::value::Val;
use serde_json::Value;

/// A hash of bytes that come in pieces.
#[derive(Debug, Default)]
pub(crate) struct Murmur {
    hash: u32,
    /// Bytes that are no block yet, in its lowest places.
    tail: u32,
    length: u32,
}

impl Murmur {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let at = self.length % 4;
            self.tail |= u32::from(*byte) << (8 * at);
            self.length = self.length.wrapping_add(1);
            if at == 3 {
                self.hash ^= scramble(self.tail);
                self.hash = self.hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
                self.tail = 0;
            }
        }
    }

    pub(crate) fn finish(&self) -> u32 {
        // A block of nothing changes nothing.
        let mut hash = self.hash ^ scramble(self.tail) ^ self.length;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }

    /// The beginning of an array of so many items.
    pub(crate) fn array(&mut self, count: usize) {
        self.head(4, count.try_into().unwrap_or(u64::MAX));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.head(3, text.len().try_into().unwrap_or(u64::MAX));
        self.write(text.as_bytes());
    }

    /// A value as it was computed.
    pub(crate) fn value(&mut self, value: &Val<'_>) {
        match value {
            Val::Null => self.write(&[0xf6]),
            Val::Bool(value) => self.write(&[if *value { 0xf5 } else { 0xf4 }]),
            Val::Num(number) => self.number(*number),
            Val::Str(text) => self.text(text),
            Val::Json(Value::Object(members)) => {
                self.map(members.iter().map(|(name, value)| (name.as_str(), value.into())));
            }
            Val::Map(members) => self.map(members.iter().map(|(name, value)| (&**name, value.clone()))),
            array => {
                self.array(array.items().unwrap_or(0));
                array.each(&mut |item| {
                    self.value(&item);
                    true
                });
            }
        }
    }

    /// Shorter names first.
    fn map<'a>(&mut self, members: impl Iterator<Item = (&'a str, Val<'a>)>) {
        let mut members: Vec<_> = members.collect();
        members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        self.head(5, members.len().try_into().unwrap_or(u64::MAX));
        for (name, value) in members {
            self.text(name);
            self.value(&value);
        }
    }

    /// Whole numbers are integers, however they are written or were computed.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the bounds just asked for"
    )]
    fn number(&mut self, number: Num) {
        /// 2^63 and 2^64, which doubles have exactly.
        const SIGNED: f64 = 9_223_372_036_854_775_808.0;
        match number {
            Num::Unsigned(whole) => self.head(0, whole),
            Num::Signed(whole) if whole < 0 => self.head(1, (!whole).unsigned_abs()),
            Num::Signed(whole) => self.head(0, whole.unsigned_abs()),
            Num::Float(float) if float.fract() == 0.0 && (0.0..2.0 * SIGNED).contains(&float) => {
                self.head(0, float as u64);
            }
            Num::Float(float) if float.fract() == 0.0 && (-SIGNED..0.0).contains(&float) => {
                self.head(1, (!(float as i64)).unsigned_abs());
            }
            Num::Float(float) => self.float(float),
        }
    }

    /// In the shortest form that loses nothing.
    #[expect(clippy::cast_possible_truncation, reason = "whether it loses anything is what is asked")]
    fn float(&mut self, float: f64) {
        let single = float as f32;
        if float.is_nan() {
            self.write(&[0xf9, 0x7e, 0x00]);
        } else if let Some(half) = half(single).filter(|_| f64::from(single) == float) {
            self.write(&[0xf9]);
            self.write(&half.to_be_bytes());
        } else if f64::from(single) == float {
            self.write(&[0xfa]);
            self.write(&single.to_be_bytes());
        } else {
            self.write(&[0xfb]);
            self.write(&float.to_be_bytes());
        }
    }

    /// The head of an item: its major type and a number, in the shortest form.
    fn head(&mut self, major: u8, number: u64) {
        let major = major << 5;
        let bytes = number.to_be_bytes();
        match (u8::try_from(number), u16::try_from(number), u32::try_from(number)) {
            (Ok(small @ 0..=23), ..) => self.write(&[major | small]),
            (Ok(byte), ..) => self.write(&[major | 24, byte]),
            (_, Ok(short), _) => {
                self.write(&[major | 25]);
                self.write(&short.to_be_bytes());
            }
            (.., Ok(long)) => {
                self.write(&[major | 26]);
                self.write(&long.to_be_bytes());
            }
            _ => {
                self.write(&[major | 27]);
                self.write(&bytes);
            }
        }
    }
}

fn scramble(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

/// The same in 16 bits (IEEE 754 binary16), if they lose nothing.
fn half(single: f32) -> Option<u16> {
    let bits = single.to_bits();
    let sign = bits >> 31 << 15;
    let (exponent, mantissa) = (bits >> 23 & 0xff, bits & 0x7f_ffff);
    let half = match exponent {
        0xff if mantissa == 0 => 0x7c00,
        113..=142 if mantissa.trailing_zeros() >= 13 => (exponent - 112) << 10 | mantissa >> 13,
        // So small that it has no leading one.
        103..=112 => {
            let (full, lost) = (mantissa | 0x80_0000, 126 - exponent);
            if full.trailing_zeros() < lost {
                return None;
            }
            full >> lost
        }
        0 if mantissa == 0 => 0,
        _ => return None,
    };
    u16::try_from(sign | half).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn murmur(bytes: &[u8]) -> u32 {
        let mut hash = Murmur::default();
        hash.write(bytes);
        hash.finish()
    }

    #[test]
    fn known_hashes() {
        // Vectors of the reference implementation (SMHasher), seed 0.
        for (text, hash) in [
            ("", 0),
            ("test", 0xba6b_d213),
            ("Hello, world!", 0xc036_3e43),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
        ] {
            assert_eq!(murmur(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn pieces_are_as_good_as_the_whole() {
        for cut in 0..=9 {
            let (a, b) = "flag-user".split_at(cut);
            let mut hash = Murmur::default();
            hash.write(a.as_bytes());
            hash.write(b.as_bytes());
            assert_eq!(hash.finish(), murmur(b"flag-user"));
        }
    }

    #[test]
    fn values_are_encoded_as_rfc_8949_says() {
        // Its appendix A, but that whole numbers are integers.
        for (value, bytes) in [
            (json!(0), "00"),
            (json!(23), "17"),
            (json!(24), "1818"),
            (json!(1000), "1903e8"),
            (json!(1_000_000), "1a000f4240"),
            (json!(18_446_744_073_709_551_615_u64), "1bffffffffffffffff"),
            (json!(-1), "20"),
            (json!(-1000), "3903e7"),
            (json!(-9_223_372_036_854_775_808_i64), "3b7fffffffffffffff"),
            (json!(1.0), "01"),
            (json!(-0.0), "00"),
            (json!(1.5), "f93e00"),
            (json!(5.960_464_477_539_063e-8), "f90001"),
            (json!(0.000_061_035_156_25), "f90400"),
            (json!(1.1), "fb3ff199999999999a"),
            (json!(100_000.5), "fa47c35040"),
            (json!(-4.1), "fbc010666666666666"),
            (json!(1e300), "fb7e37e43c8800759c"),
            (json!(false), "f4"),
            (json!(null), "f6"),
            (json!("IETF"), "6449455446"),
            (json!("ü"), "62c3bc"),
            (json!([1, [2, 3]]), "8201820203"),
            (json!({"bb": 2, "a": [1], "c": 1}), "a3616181016163016262620 2"),
        ] {
            let bytes: Vec<u8> = {
                let digits: Vec<char> = bytes.chars().filter(|c| *c != ' ').collect();
                digits
                    .chunks(2)
                    .map(|two| u8::from_str_radix(&two.iter().collect::<String>(), 16).unwrap())
                    .collect()
            };
            let mut hash = Murmur::default();
            hash.value(&(&value).into());
            assert_eq!(hash.finish(), murmur(&bytes), "{value}");
        }
    }
}
