//! Bytes written down by hand, with what each of them means.
//!
//! In `tests/golden/*.hex` all after a `#` is a comment. `..` stands for any
//! byte, and `...` at the end for any that follow. The files are changed by
//! hand, after thinking: a client that is out there reads the old bytes.

use std::path::Path;

/// Compares `actual` with a golden file.
pub fn check(name: &str, actual: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut rest = actual.iter().enumerate();
    for (index, line) in text.lines().enumerate() {
        let words = line.split('#').next().unwrap_or_default();
        for word in words.split_whitespace() {
            if word == "..." {
                return;
            }
            let Some((at, byte)) = rest.next() else {
                panic!("{name}:{}: the bytes end before `{word}`: {}", index + 1, hex(actual))
            };
            let same = word == ".." || u8::from_str_radix(word, 16) == Ok(*byte);
            assert!(same, "{name}:{}: byte {at} is {byte:02x}, not {word}: {}", index + 1, hex(actual));
        }
    }
    assert!(rest.next().is_none(), "{name}: there are more bytes: {}", hex(actual));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}
