//! A subscriber that counts all it receives, and checks it.

use confhub_benches::Result;
use confhub_proto::frame::Assembler;
use confhub_proto::{Digest, State, Update, wire};
use prost::Message as _;
use std::time::Duration;
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Streaming};
use wire::config_service_client::ConfigServiceClient;
use wire::frame::Kind;

/// What HTTP/2 and gRPC put in front of a message, in bytes.
const WIRE_OVERHEAD: usize = 9 + 5;

/// Longest wait for a frame that must come: a tenant is loaded within it.
const PATIENCE: Duration = Duration::from_secs(300);

/// An open stream, and the state that its frames have made.
pub(crate) struct Subscriber {
    frames: Streaming<wire::Frame>,
    assembler: Assembler,
    pub(crate) state: State,
    pub(crate) tally: Tally,
}

/// What a stream has brought.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) updates: usize,
    pub(crate) entries: usize,
    pub(crate) resets: usize,
    /// Of all frames, with what is in front of each.
    pub(crate) bytes: usize,
    /// Versions older than what was there.
    pub(crate) backwards: usize,
    /// Commits whose digest was not that of the state.
    pub(crate) diverged: usize,
}

impl Subscriber {
    /// Opens a stream of a tenant's shared entries, for somebody who has this state.
    pub(crate) async fn open(channel: Channel, token: &str, state: State) -> Result<Self> {
        let cursor = if state.is_empty() { Vec::new() } else { state.digest().to_bytes().to_vec() };
        let mut request = Request::new(wire::SubscribeRequest { cursor, ..Default::default() });
        request.metadata_mut().insert("authorization", bearer(token)?);
        let frames = ConfigServiceClient::new(channel).subscribe(request).await?.into_inner();
        Ok(Self { frames, assembler: Assembler::new(usize::MAX), state, tally: Tally::default() })
    }

    /// Takes the next frame; true: it says that this is the present state.
    async fn frame(&mut self) -> Result<bool> {
        let frame = timeout(PATIENCE, self.frames.message()).await??.ok_or("the hub ended a stream")?;
        self.tally.bytes += frame.encoded_len() + WIRE_OVERHEAD;
        match frame.kind {
            Some(Kind::Update(part)) => {
                if let Some(update) = self.assembler.push(part)? {
                    self.commit(&update);
                }
                Ok(false)
            }
            Some(Kind::Heartbeat(heartbeat)) => {
                Ok(Digest::from_wire(&heartbeat.cursor)? == Some(self.state.digest()))
            }
            Some(Kind::Goodbye(goodbye)) => Err(format!("the hub said {goodbye:?}").into()),
            Some(Kind::Welcome(_)) | None => Ok(false),
        }
    }

    fn commit(&mut self, update: &Update) {
        let next = self.state.commit(update);
        let tally = &mut self.tally;
        tally.updates += 1;
        tally.entries += update.puts.len();
        tally.resets += usize::from(update.reset);
        tally.diverged += usize::from(next.digest() != update.commit.cursor);
        let older = |old: &confhub_proto::Entry, new: &confhub_proto::Entry| new.version() < old.version();
        let had = update.puts.iter().filter_map(|new| Some((self.state.get(new.key().as_str())?, new)));
        tally.backwards += had.filter(|(old, new)| older(old, new)).count();
        self.state = next;
    }

    /// Follows until the hub says that this is the present state.
    pub(crate) async fn until_current(&mut self) -> Result<()> {
        while !self.frame().await? {}
        Ok(())
    }

    /// Follows until there is a first commit.
    pub(crate) async fn until_commit(&mut self) -> Result<()> {
        while self.tally.updates == 0 {
            self.frame().await?;
        }
        Ok(())
    }

    /// Follows until an entry has this value.
    pub(crate) async fn until_value(&mut self, key: &str, value: &str) -> Result<()> {
        while self.state.get(key).is_none_or(|entry| entry.value() != value.as_bytes()) {
            self.frame().await?;
        }
        Ok(())
    }
}

/// The header that names who calls.
fn bearer(token: &str) -> Result<MetadataValue<Ascii>> {
    Ok(format!("Bearer {token}").parse()?)
}

/// The digest of a tenant's state, in the words of a hub.
pub(crate) async fn digest(channel: Channel, token: &str) -> Result<Digest> {
    let mut request = Request::new(wire::GetSnapshotRequest::default());
    request.metadata_mut().insert("authorization", bearer(token)?);
    let mut frames = ConfigServiceClient::new(channel).get_snapshot(request).await?.into_inner();
    let mut digest = None;
    while let Some(frame) = frames.message().await? {
        if let Some(Kind::Update(wire::Update { commit: Some(commit), .. })) = frame.kind {
            digest = Digest::from_wire(&commit.cursor)?;
        }
    }
    Ok(digest.ok_or("a snapshot without a commit")?)
}
