//! What a NATS server sends to a client (docs.nats.io, "Client Protocol"): lines
//! that end with CR LF, and after a `MSG` line its payload and another CR LF.

use bytes::{Bytes, BytesMut};
use confhub_benches::Result;

/// Longest line, in bytes: `INFO` has a few hundred, all others less. Also
/// the longest control line that the server takes by default.
const LINE: usize = 4_096;

/// Largest payload, in bytes: the server's own default.
const PAYLOAD: usize = 1024 * 1024;

/// One thing that the server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// A message for one of the connection's subscriptions.
    Message {
        subscription: usize,
        value: Bytes,
        /// What it took, line and all.
        bytes: usize,
    },
    Ping,
    Pong,
    Info,
    /// `-ERR`, with its words.
    Refused(String),
}

/// Bytes that have come and were not taken yet.
#[derive(Debug, Default)]
pub(super) struct Parser {
    held: BytesMut,
}

impl Parser {
    /// Where what comes is put.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.held
    }

    /// The next thing, once it is there whole.
    pub(super) fn next(&mut self) -> Result<Option<Op>> {
        let Some(end) = self.held.windows(2).take(LINE).position(|bytes| bytes == b"\r\n") else {
            if self.held.len() > LINE {
                return Err(format!("a line of more than {LINE} bytes from NATS").into());
            }
            return Ok(None);
        };
        let line = std::str::from_utf8(&self.held[..end])?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let op = match word {
            "MSG" => return self.message(end),
            "PING" => Op::Ping,
            "PONG" => Op::Pong,
            "INFO" => Op::Info,
            "-ERR" => Op::Refused(rest.to_owned()),
            _ => return Err(format!("NATS says `{word}`, which is unknown here").into()),
        };
        let _ = self.held.split_to(end + 2);
        Ok(Some(op))
    }

    /// `MSG <subject> <sid> [reply-to] <#bytes>`, and the payload.
    fn message(&mut self, end: usize) -> Result<Option<Op>> {
        let line = std::str::from_utf8(&self.held[..end])?;
        let broken = || format!("NATS says `{line}`");
        let mut words = line.split(' ');
        let subscription = words.nth(2).and_then(|word| word.parse().ok()).ok_or_else(broken)?;
        let size: usize = words.next_back().and_then(|word| word.parse().ok()).ok_or_else(broken)?;
        if size > PAYLOAD {
            return Err(broken().into());
        }
        let payload = end + 2;
        if self.held.len() < payload + size + 2 {
            return Ok(None);
        }
        let bytes = payload + size + 2;
        let mut message = self.held.split_to(bytes).freeze();
        if !message.ends_with(b"\r\n") {
            return Err("a message of NATS does not end where it should".into());
        }
        message.truncate(payload + size);
        Ok(Some(Op::Message { subscription, value: message.slice(payload..), bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], size: usize) -> Result<Vec<Op>> {
        let (mut parser, mut ops) = (Parser::default(), Vec::new());
        for part in bytes.chunks(size) {
            parser.buffer().extend_from_slice(part);
            while let Some(op) = parser.next()? {
                ops.push(op);
            }
        }
        Ok(ops)
    }

    #[test]
    fn what_a_server_says_is_understood_however_it_is_cut() {
        let bytes = b"INFO {\"a\":\"b c\"}\r\nPONG\r\nMSG t0.a.b 7 4\r\n\r\nab\r\nPING\r\n\
            MSG t0.c 12 reply 0\r\n\r\n-ERR 'Unknown Protocol Operation'\r\n";
        let message = |subscription, value, bytes| {
            let value = Bytes::from_static(value);
            Op::Message { subscription, value, bytes }
        };
        let refused = Op::Refused("'Unknown Protocol Operation'".to_owned());
        let expected =
            [Op::Info, Op::Pong, message(7, b"\r\nab", 22), Op::Ping, message(12, b"", 23), refused];
        for size in 1..=bytes.len() {
            assert_eq!(all(bytes, size).unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for bytes in
            [&b"HELLO\r\n"[..], b"MSG a\r\n", b"MSG a b 1\r\n", b"MSG a 1 2000000\r\n", b"MSG a 1 1\r\nabc"]
        {
            assert!(all(bytes, bytes.len()).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        assert!(all(&[b'a'; LINE + 2], 1_000).is_err());
    }
}
