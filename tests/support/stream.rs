//! An open stream, and the state that its frames make.

use super::soon;
use confhub_proto::frame::Assembler;
use confhub_proto::{Digest, State, Update, wire};
use tonic::{Status, Streaming};
use wire::frame::Kind;

/// A subscriber that keeps the state it is told, and checks every commit: the
/// state's digest must be the commit's.
pub struct Stream {
    frames: Streaming<wire::Frame>,
    assembler: Assembler,
    pub state: State,
    /// Updates committed so far.
    pub updates: usize,
    /// Entries received so far, whether they were new or not.
    pub entries: usize,
    pub goodbye: Option<wire::Goodbye>,
    /// The store counts keys that are made again from 1.
    counts_anew: bool,
}

/// What a stream brings next.
#[derive(Debug)]
pub enum Event {
    Welcome(wire::Welcome),
    Commit(Update),
    Heartbeat(Digest),
    Goodbye(wire::Goodbye),
    End(Status),
}

impl Stream {
    pub fn new(frames: Streaming<wire::Frame>) -> Self {
        let assembler = Assembler::new(usize::MAX);
        Self {
            frames,
            assembler,
            state: State::default(),
            updates: 0,
            entries: 0,
            goodbye: None,
            counts_anew: false,
        }
    }

    /// The same, with the state that a subscriber comes back with.
    pub fn resuming(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// The same for a store that counts keys that are made again from 1: their
    /// later time tells.
    #[cfg(feature = "aws")]
    pub fn counting_anew(mut self) -> Self {
        self.counts_anew = true;
        self
    }

    /// The next thing that means something.
    pub async fn event(&mut self) -> Event {
        loop {
            let frame = match soon("a frame", self.frames.message()).await {
                Ok(Some(frame)) => frame,
                Ok(None) => panic!("the hub ended a stream with OK"),
                Err(status) => return Event::End(status),
            };
            match frame.kind.expect("a frame has a kind") {
                Kind::Welcome(welcome) => return Event::Welcome(welcome),
                Kind::Heartbeat(heartbeat) => {
                    return Event::Heartbeat(Digest::from_wire(&heartbeat.cursor).unwrap().unwrap());
                }
                Kind::Goodbye(goodbye) => {
                    self.goodbye = Some(goodbye);
                    return Event::Goodbye(goodbye);
                }
                Kind::Update(part) => {
                    if let Some(update) = self.assembler.push(part).unwrap() {
                        return Event::Commit(self.commit(update));
                    }
                }
            }
        }
    }

    fn commit(&mut self, update: Update) -> Update {
        let next = self.state.commit(&update);
        assert_eq!(next.digest(), update.commit.cursor, "the digest after {update:?}");
        if !update.reset {
            self.check_versions(&update);
        }
        self.state = next;
        self.updates += 1;
        self.entries += update.puts.len();
        update
    }

    /// No key goes back to an older version of the same place.
    fn check_versions(&self, update: &Update) {
        for new in &update.puts {
            let old = self.state.get(new.key().as_str());
            if let Some(old) = old.filter(|old| old.service() == new.service()) {
                let anew = self.counts_anew && new.modified() > old.modified();
                assert!(new.version() >= old.version() || anew, "{old:?} then {new:?}");
            }
        }
    }

    /// Follows until the state is as wanted.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&State) -> bool) {
        while !wanted(&self.state) {
            if let Event::End(status) = self.event().await {
                panic!("the stream ended before {what}: {status}");
            }
        }
    }

    /// Follows until the hub says that the stream is current.
    pub async fn until_current(&mut self) {
        loop {
            match self.event().await {
                Event::Heartbeat(cursor) => {
                    assert_eq!(cursor, self.state.digest());
                    return;
                }
                Event::End(status) => panic!("the stream ended: {status}"),
                _ => {}
            }
        }
    }

    /// Follows until the stream ends.
    pub async fn until_end(&mut self) -> Status {
        loop {
            if let Event::End(status) = self.event().await {
                return status;
            }
        }
    }

    /// The value of a key, as text.
    pub fn text(&self, key: &str) -> Option<String> {
        text(&self.state, key)
    }
}

/// The value of a key of a state, as text.
pub fn text(state: &State, key: &str) -> Option<String> {
    state.get(key).map(|entry| String::from_utf8(entry.value().to_vec()).unwrap())
}
