//! How often the stores are read.

use crate::account::{Account, Emulator};
use crate::args::{Place, ReadsArgs};
use crate::fill::{Shelf, Store};
use crate::hubs::{Hub, Hubs};
use crate::measure::settings;
use crate::report::{Report, whole};
use crate::subscriber::Subscriber;
use crate::writer::Writer;
use aws_sdk_sns::types::PublishBatchRequestEntry;
use confhub_benches::counts::Counts;
use confhub_benches::{Error, Result, process};
use confhub_proto::State;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Entries of a tenant in each store.
const ENTRIES: usize = 20;

/// Streams of one connection.
const STREAMS: usize = 100;

/// Streams that are opened, and calls that are made, at once.
const UNDER_WAY: usize = 64;
const CALLS: usize = 8;

/// Messages in one call: the most that SNS allows.
const BATCH: usize = 10;

/// Longest wait for hints to be acted on.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a count is watched after what caused it: a read that should not be
/// made would be by then.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// Most reads of one key in a second.
const READS_A_SECOND: f64 = 5.0;

/// Open files beside connections.
const OTHER_FILES: u64 = 200;

/// One change, and all who listen.
#[derive(Debug, Serialize)]
struct Change {
    backend: &'static str,
    reads: u64,
    /// Subscribers that did not get it.
    lost: u64,
    diverged: u64,
}

/// Many hints for one key.
#[derive(Debug, Serialize)]
struct Hints {
    backend: &'static str,
    hints: u32,
    reads: u64,
    /// From the first message to the application of the last one.
    seconds: f64,
}

/// Many clients that come back.
#[derive(Debug, Serialize)]
struct Return {
    /// The hub that they come back to was started anew.
    new_hub: bool,
    clients: usize,
    tenants: usize,
    /// Loads from a store, by store.
    loads_dynamodb: u64,
    loads_ssm: u64,
    loads_secretsmanager: u64,
    other_reads: u64,
    entries: usize,
    resets: usize,
    unequal: u64,
    /// Bytes to each.
    bytes_each: usize,
    /// Until the last one was current.
    seconds: f64,
}

/// All counts.
#[derive(Serialize)]
pub(crate) struct Reads {
    subscribers: usize,
    changes: Vec<Change>,
    hints: Vec<Hints>,
    returns: Vec<Return>,
}

/// Counts everything, in accounts of their own.
pub(crate) async fn run(place: &Place, args: &ReadsArgs) -> Result<Reads> {
    process::allow_open_files(u64::from(args.subscribers) + OTHER_FILES)?;
    let subscribers = usize::try_from(args.subscribers)?;
    let mut emulator = Emulator::start(place)?;
    let account = emulator.account().await?;
    let tenants: Vec<_> = (0..args.tenants).map(|tenant| format!("shop-{tenant}")).collect();
    for tenant in &tenants {
        for store in [Store::DynamoDb, Store::Ssm] {
            let shelf = Shelf::new(&account, tenant, store)?;
            shelf.fill(&settings(store.prefix(), ENTRIES)?).await?;
        }
    }
    let mut hubs = Hubs::new(place)?;
    let tokens: Vec<_> = tenants.iter().map(|tenant| hubs.token(tenant)).collect::<Result<_>>()?;
    let hub = hubs.start(&account, &[]).await?;

    let (mut changes, mut hints) = (Vec::new(), Vec::new());
    for store in [Store::DynamoDb, Store::Ssm] {
        eprintln!("{}: one change", store.name());
        let listeners = connect(&hub, &tokens[..1], vec![State::default(); subscribers]).await?;
        changes.push(change(&account, &hub, listeners, &tenants[0], store).await?);
        eprintln!("{}: {} hints", store.name(), args.hints);
        // Somebody has to listen, or nobody needs the key.
        let _listener = connect(&hub, &tokens[..1], vec![State::default()]).await?;
        hints.push(many_hints(&account, &hub, &tenants[0], store, args.hints).await?);
    }

    eprintln!("{subscribers} clients come back");
    let fleet = connect(&hub, &tokens, vec![State::default(); subscribers]).await?;
    let states: Vec<_> = fleet.into_iter().map(|subscriber| subscriber.state).collect();
    let same = come_back(&hub, &tokens, states.clone(), false).await?;
    drop(hub);
    let hub = hubs.start(&account, &[]).await?;
    let new = come_back(&hub, &tokens, states, true).await?;
    Ok(Reads { subscribers, changes, hints, returns: vec![same, new] })
}

/// Opens a stream for each of these states, the tenants in turn, and waits until
/// all are current.
async fn connect(hub: &Hub, tokens: &[String], states: Vec<State>) -> Result<Vec<Subscriber>> {
    let mut channels = Vec::new();
    for _ in 0..states.len().div_ceil(STREAMS) {
        channels.push(hub.channel().await?);
    }
    let open = |(number, state): (usize, State)| {
        let (channel, token) = (channels[number / STREAMS].clone(), &tokens[number % tokens.len()]);
        async move {
            let mut subscriber = Subscriber::open(channel, token, state).await?;
            subscriber.until_current().await?;
            Ok::<_, Error>(subscriber)
        }
    };
    stream::iter(states.into_iter().enumerate().map(open)).buffered(UNDER_WAY).try_collect().await
}

/// Has one entry changed by somebody else, and counts who gets it and at what cost.
async fn change(
    account: &Account,
    hub: &Hub,
    listeners: Vec<Subscriber>,
    tenant: &str,
    store: Store,
) -> Result<Change> {
    let key = settings(store.prefix(), 1)?[0].key.to_string();
    let value = "\"the one change\"";
    let before = hub.counts().await?;
    let mut writer = Writer::start(account, tenant)?;
    writer.write(store, &key, value).await?;
    let all = listeners.len();
    let wait = |mut listener: Subscriber| {
        let key = &key;
        async move {
            let _ = tokio::time::timeout(PATIENCE, listener.until_value(key, value)).await;
            listener
        }
    };
    let listeners: Vec<_> =
        stream::iter(listeners.into_iter().map(wait)).buffer_unordered(all).collect().await;
    sleep(AFTERWARDS).await;
    let after = hub.counts().await?;
    let has = |listener: &&Subscriber| {
        listener.state.get(&key).is_some_and(|entry| entry.value() == value.as_bytes())
    };
    Ok(Change {
        backend: store.name(),
        reads: all_reads(&after) - all_reads(&before),
        lost: u64::try_from(all - listeners.iter().filter(has).count())?,
        diverged: u64::try_from(listeners.iter().map(|l| l.tally.diverged).sum::<usize>())?,
    })
}

/// Sends hints for one key as fast as the topic takes them.
async fn many_hints(account: &Account, hub: &Hub, tenant: &str, store: Store, hints: u32) -> Result<Hints> {
    let key = settings(store.prefix(), 2)?[1].key.to_string();
    let body = match store {
        Store::DynamoDb => {
            let keys = json!({"pk": {"S": format!("TENANT#{tenant}")}, "sk": {"S": format!("CONFIG#{key}")}});
            let record =
                json!({"eventName": "MODIFY", "eventSource": "aws:dynamodb", "dynamodb": {"Keys": keys}});
            json!({"source": "confhub.table", "detail-type": "DynamoDB Stream Record", "detail": record})
        }
        Store::Ssm => {
            let name = format!("/{}/{tenant}/shared/{key}", account.setting("ROOT")?);
            let detail = json!({"operation": "Update", "name": name, "type": "String", "description": ""});
            json!({"source": "aws.ssm", "detail-type": "Parameter Store Change", "detail": detail})
        }
    };
    let (sns, topic, body) = (account.sns(), account.setting("TOPIC")?, body.to_string());
    let before = hub.counts().await?;
    let applied = |counts: &Counts| counts.sum("confhub_source_messages_total", &["outcome=\"applied\""]);
    let began = Instant::now();
    let publish = |batch: u32| {
        let count = BATCH
            .min(usize::try_from(hints).unwrap_or(usize::MAX) - usize::try_from(batch).unwrap_or(0) * BATCH);
        let entry =
            |number: usize| PublishBatchRequestEntry::builder().id(number.to_string()).message(&body).build();
        let entries = (0..count).map(entry).collect::<Result<Vec<_>, _>>();
        let call = sns.publish_batch().topic_arn(topic);
        async move { call.set_publish_batch_request_entries(Some(entries?)).send().await.map_err(Error::from) }
    };
    let batches = 0..hints.div_ceil(u32::try_from(BATCH)?);
    let _: Vec<_> = stream::iter(batches.map(publish)).buffer_unordered(CALLS).try_collect().await?;
    let wanted = applied(&before) + f64::from(hints);
    while applied(&hub.counts().await?) < wanted {
        if began.elapsed() > PATIENCE {
            return Err(format!("{hints} hints are not applied within {PATIENCE:?}").into());
        }
        sleep(Duration::from_millis(10)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    sleep(AFTERWARDS).await;
    let reads = all_reads(&hub.counts().await?) - all_reads(&before);
    Ok(Hints { backend: store.name(), hints, reads, seconds })
}

/// Has clients come back with what they have, all at once.
async fn come_back(hub: &Hub, tokens: &[String], states: Vec<State>, new_hub: bool) -> Result<Return> {
    let clients = states.len();
    let digests: Vec<_> = states.iter().map(State::digest).collect();
    let before = hub.counts().await?;
    let began = Instant::now();
    let back = connect(hub, tokens, states).await?;
    let seconds = began.elapsed().as_secs_f64();
    sleep(AFTERWARDS).await;
    let after = hub.counts().await?;
    let loads = |backend: &str| {
        let labels = ["purpose=\"load\"", &format!("backend=\"{backend}\"")];
        let sum = |counts: &Counts| counts.sum("confhub_backend_reads_total", &labels);
        whole(sum(&after) - sum(&before))
    };
    let unequal = back.iter().zip(&digests).filter(|(one, digest)| one.state.digest() != **digest).count();
    let total = |of: fn(&Subscriber) -> usize| back.iter().map(of).sum::<usize>();
    Ok(Return {
        new_hub,
        clients,
        tenants: tokens.len(),
        loads_dynamodb: loads("dynamodb"),
        loads_ssm: loads("ssm"),
        loads_secretsmanager: loads("secretsmanager"),
        other_reads: all_reads(&after)
            - all_reads(&before)
            - whole(after.reads("load") - before.reads("load")),
        entries: total(|one| one.tally.entries),
        resets: total(|one| one.tally.resets),
        unequal: u64::try_from(unequal)?,
        bytes_each: total(|one| one.tally.bytes) / clients.max(1),
        seconds,
    })
}

/// Reads of all backends, whatever for.
fn all_reads(counts: &Counts) -> u64 {
    whole(counts.sum("confhub_backend_reads_total", &[]))
}

impl Report for Reads {
    fn print(&self) {
        for Change { backend, reads, .. } in &self.changes {
            println!("{backend}: one change with {} subscribers: {reads} reads", self.subscribers);
        }
        for Hints { backend, hints, reads, seconds } in &self.hints {
            println!("{backend}: {hints} hints for one key within {seconds:.2} s: {reads} reads");
        }
        for back in &self.returns {
            let hub = if back.new_hub { "a hub that was started anew" } else { "the same hub" };
            println!(
                "{} clients of {} tenants come back to {hub}: {} + {} + {} loads from DynamoDB, Parameter Store \
                 and Secrets Manager, {} other reads, {} entries sent, {} bytes to each, {:.2} s",
                back.clients,
                back.tenants,
                back.loads_dynamodb,
                back.loads_ssm,
                back.loads_secretsmanager,
                back.other_reads,
                back.entries,
                back.bytes_each,
                back.seconds
            );
        }
    }

    fn faults(&self) -> Vec<(&'static str, u64)> {
        let returns = |of: fn(&Return) -> usize| self.returns.iter().map(of).sum::<usize>() as u64;
        vec![
            ("subscribers without the change", self.changes.iter().map(|change| change.lost).sum()),
            ("commits with another digest", self.changes.iter().map(|change| change.diverged).sum()),
            ("entries sent to who had them", returns(|back| back.entries)),
            ("resets", returns(|back| back.resets)),
            ("digests unequal", self.returns.iter().map(|back| back.unequal).sum()),
        ]
    }

    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for Change { backend, reads, .. } in self.changes.iter().filter(|change| change.reads != 1) {
            missed.push(format!("{backend}: one change took {reads} reads; the target is 1"));
        }
        for Hints { backend, reads, seconds, .. } in &self.hints {
            let most = READS_A_SECOND * seconds.ceil();
            if crate::report::figure(usize::try_from(*reads).unwrap_or(usize::MAX)) > most {
                missed.push(format!(
                    "{backend}: hints took {reads} reads in {seconds:.2} s; the target is {most}"
                ));
            }
        }
        for back in &self.returns {
            let most = if back.new_hub { back.tenants as u64 } else { 0 };
            let loads = [back.loads_dynamodb, back.loads_ssm, back.loads_secretsmanager];
            if loads.iter().any(|loads| *loads > most) {
                missed.push(format!(
                    "{} clients took {loads:?} loads; the target is {most} each",
                    back.clients
                ));
            }
        }
        missed
    }
}
