//! The hub: identity, store, history and all, as users start it.

pub(crate) mod ledger;

use crate::fleet::{Fleet, Written};
use crate::peer::Peer;
use crate::plan::{Plan, Shape, Target};
use bytes::Bytes;
use confhub_benches::connection::Connection;
use confhub_benches::hub::{CallPace, Caller, Hub};
use confhub_benches::messages::{self, Messages};
use confhub_benches::server::Server;
use confhub_benches::{Error, Result};
use confhub_proto::frame::split;
use confhub_proto::{Content, Digest, Entry, Key, State, Update, wire};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use h2::RecvStream;
use ledger::{Reader, Tenant};
use prost::Message as _;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tonic::transport::Channel;
use wire::config_service_client::ConfigServiceClient;
use wire::frame::Kind;

/// Snapshots that are asked for at once.
const ASKING: usize = 32;

/// A hub with its tenants.
pub(crate) struct TheHub {
    pub(crate) hub: Hub,
    shape: Shape,
    keys: Vec<Key>,
    slots: Rc<HashMap<String, usize>>,
    tokens: Vec<String>,
    channel: Channel,
    callers: Vec<Caller>,
    /// What the streams of each tenant share, once it has any.
    tenants: RefCell<HashMap<usize, Rc<Tenant>>>,
}

impl Peer for TheHub {
    type Connection = Connection;

    async fn start(plan: &Plan) -> Result<Self> {
        Self::on(plan.place.hub(CallPace::Lifted).await?, plan).await
    }

    fn server(&self) -> &Server {
        &self.hub.server
    }

    fn framed(&self, key: &Key, value: usize) -> usize {
        // A time takes fewer bytes if its fraction is small.
        let now = SystemTime::UNIX_EPOCH + Duration::new(1_800_000_000, 500_000_000);
        let content =
            Content { value: vec![b'0'; value].into(), content_type: Content::JSON.into(), secret: false };
        let state = State::from_iter([Arc::new(Entry::new(key.clone(), None, content, 2, now))]);
        let frames = split(&Update::difference([key], &state, now));
        frames.iter().map(|frame| frame.encoded_len() + messages::PREFIX).sum()
    }

    async fn connect(&self, fleet: &Rc<Fleet>) -> Result<Connection> {
        Connection::open(self.hub.address, &fleet.tasks).await
    }

    async fn open(&self, mut connection: Connection, number: usize, fleet: &Rc<Fleet>) -> Result<()> {
        for tenant in self.shape.tenants_of(number) {
            let stream = connection.subscribe(&self.tokens[tenant]).await?;
            let shared = Rc::clone(
                self.tenants
                    .borrow_mut()
                    .entry(tenant)
                    .or_insert_with(|| Rc::new(Tenant::new(&self.slots, fleet))),
            );
            let reader = fleet.add(tenant, Reader::new(&shared));
            fleet.follow(follow(stream, reader));
        }
        Ok(())
    }

    async fn put(&self, target: Target, value: Bytes, _times: u64) -> Result<u64> {
        self.callers[target.tenant].put(self.keys[target.slot].as_str(), value).await
    }

    async fn digests(&self, written: &Written) -> Result<HashMap<usize, Digest>> {
        let digest = async |tenant: usize| {
            let digest = self.digest(&self.callers[tenant]).await?;
            Ok::<_, Error>((tenant, digest))
        };
        let asking: Vec<_> = written.tenants().map(digest).collect();
        stream::iter(asking).buffer_unordered(ASKING).try_collect().await
    }
}

impl TheHub {
    /// A hub that runs already, with the tenants of `plan`.
    pub(crate) async fn on(hub: Hub, plan: &Plan) -> Result<Self> {
        let tokens = (0..plan.shape.tenants).map(|tenant| hub.token(&format!("t{tenant}")));
        let tokens: Vec<_> = tokens.collect::<Result<_>>()?;
        let channel = hub.channel().await?;
        let callers = tokens.iter().map(|token| Caller::new(channel.clone(), token));
        let callers: Vec<_> = callers.collect::<Result<_>>()?;
        if plan.is_seeded() {
            for caller in &callers {
                caller.seed(&plan.settings).await?;
            }
        }
        let keys: Vec<_> = plan.settings.iter().map(|setting| setting.key.clone()).collect();
        let slots = keys.iter().enumerate().map(|(slot, key)| (key.to_string(), slot)).collect();
        let tenants = RefCell::default();
        Ok(Self { hub, shape: plan.shape, keys, slots: Rc::new(slots), tokens, channel, callers, tenants })
    }

    /// The digest of the first tenant's state, in the words of the hub.
    pub(crate) async fn present(&self) -> Result<Digest> {
        self.digest(self.callers.first().ok_or("no tenant")?).await
    }

    /// The digest of a tenant's state, in the words of the hub.
    async fn digest(&self, caller: &Caller) -> Result<Digest> {
        let request = caller.request(wire::GetSnapshotRequest::default());
        let mut client = ConfigServiceClient::new(self.channel.clone());
        let mut frames = client.get_snapshot(request).await?.into_inner();
        let mut digest = None;
        while let Some(frame) = frames.message().await? {
            if let Some(Kind::Update(wire::Update { commit: Some(commit), .. })) = frame.kind {
                digest = Digest::from_wire(&commit.cursor)?;
            }
        }
        Ok(digest.ok_or("a snapshot without a commit")?)
    }
}

/// Reads a stream into its reader until it ends.
async fn follow(mut stream: RecvStream, reader: Rc<RefCell<Reader>>) -> Result<()> {
    let mut messages = Messages::default();
    while let Some(bytes) = stream.data().await {
        let bytes = bytes?;
        stream.flow_control().release_capacity(bytes.len())?;
        messages.push(bytes);
        for message in messages.by_ref() {
            reader.borrow_mut().take(message);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
