//! What the data folder holds is whole, is one hub's alone, and is never read wrong.

use crate::support::{Hub, delete, put, secret, seed, soon};
use confhub::app::App;
use confhub::backend::embedded::{Bounds, Embedded};
use confhub::backend::{Backend as _, Urgency};
use confhub::clock::system_clock;
use confhub::config::Settings;
use confhub_proto::TenantId;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const FILE: &str = "confhub.redb";

async fn start_error(settings: Settings) -> String {
    match App::start(settings, system_clock()).await {
        Ok(_) => panic!("the hub has started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_second_hub_on_the_same_folder_is_told_so() {
    let hub = Hub::start().await;
    hub.caller("acme").await.put("tenant_config_a", "1").await.unwrap();
    let error = start_error(Hub::settings(hub.folder.path())).await;
    assert!(error.contains("in use by another hub"), "{error}");
    assert!(error.contains(&hub.folder.path().display().to_string()), "{error}");
    assert_eq!(hub.caller("acme").await.put("tenant_config_a", "2").await.unwrap(), 2, "the first goes on");
    let hub = Hub::start_on(hub.stop().await, |_| {}).await;
    assert_eq!(hub.caller("acme").await.list().await.len(), 1);
}

#[tokio::test]
async fn entries_versions_and_history_survive_a_restart() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for i in 0..5 {
        writer.put("tenant_config_a", &i.to_string()).await.unwrap();
    }
    writer.delete_for("", "tenant_config_a").await.unwrap();
    writer.apply(vec![put("cart", "param_config_b", "b"), put("", "param_config_c", "c")]).await.unwrap();
    writer.apply(vec![delete("", "param_config_c")]).await.unwrap();
    writer.put_content("param_config_s", secret("hidden")).await.unwrap();
    let (list, history) = (writer.list().await, writer.history("", "tenant_config_a", 0).await.unwrap());
    drop(writer);

    let hub = Hub::start_on(hub.stop().await, |_| {}).await;
    let writer = hub.caller("acme").await;
    assert_eq!(writer.list().await, list);
    assert_eq!(writer.history("", "tenant_config_a", 0).await.unwrap(), history);
    assert_eq!(writer.reveal("", "param_config_s").await.unwrap().value, "hidden");
    assert_eq!(writer.put("tenant_config_a", "again").await.unwrap(), 7, "the deletion was version 6");
    assert_eq!(writer.put("param_config_c", "again").await.unwrap(), 3);
    assert!(hub.caller("globex").await.list().await.is_empty());
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "not a folder").unwrap();
    for (data_dir, named) in [
        (file.clone(), &file),
        (file.join("below"), &file),
        ("/proc/nowhere".into(), &PathBuf::from("/proc")),
    ] {
        let error = start_error(Hub::settings(&data_dir)).await;
        assert!(error.contains("data folder"), "{error}");
        assert!(error.contains(&named.display().to_string()), "{error}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"not a folder");
    std::fs::create_dir_all(folder.path().join("data").join(FILE)).unwrap();
    let error = start_error(Hub::settings(&folder.path().join("data"))).await;
    assert!(error.contains(FILE) || error.contains("data folder"), "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    let hub = Hub::start().await;
    let folder = tempfile::tempdir().unwrap();
    for (port, setting) in [(hub.addresses.grpc, "`listen`"), (hub.addresses.http, "`http`")] {
        let mut settings = Hub::settings(folder.path());
        if setting == "`listen`" {
            settings.listen = port
        } else {
            settings.http = port
        }
        let error = start_error(settings).await;
        for word in [setting, &port.to_string(), "choose another port"] {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_and_left_alone() {
    let folder = written().await;
    let whole = std::fs::read(folder.path().join(FILE)).unwrap();
    let cut = |bytes: usize| whole[..bytes].to_vec();
    let mut random = Rng::with_seed(seed());
    let garbage: Vec<u8> = (0..whole.len()).map(|_| random.u8(..)).collect();
    let contents = [
        Vec::new(),
        b"hello".to_vec(),
        vec![0; whole.len()],
        garbage,
        cut(1),
        cut(100),
        cut(4_096),
        cut(whole.len() / 2),
        cut(whole.len() - 1),
    ];
    for content in contents {
        let broken = tempfile::tempdir().unwrap();
        let file = broken.path().join(FILE);
        std::fs::write(&file, &content).unwrap();
        let error = start_error(Hub::settings(broken.path())).await;
        assert!(error.contains(FILE), "{} bytes: {error}", content.len());
        assert!(error.contains("damaged"), "{} bytes: {error}", content.len());
        assert!(error.contains("backup"), "{} bytes: {error}", content.len());
        assert!(std::fs::read(&file).unwrap() == content, "{} bytes: the file was changed", content.len());
    }
}

#[tokio::test]
async fn flipped_bytes_are_noticed_or_do_no_harm() {
    let folder = written().await;
    let whole = std::fs::read(folder.path().join(FILE)).unwrap();
    let right = read(folder.path()).await.unwrap();
    assert_eq!(right.len(), 1 + 60);
    let mut random = Rng::with_seed(seed());
    // The header is where a flip could do most; the rest is taken at random.
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let at_random: Vec<_> = (0..120).map(|_| random.usize(..=used)).collect();
    let (mut noticed, mut harmless) = (0, 0);
    for at in (0..64).chain((64..320).step_by(3)).chain(at_random) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.u8(..8);
        let broken = tempfile::tempdir().unwrap();
        std::fs::write(broken.path().join(FILE), &bytes).unwrap();
        match read(broken.path()).await {
            Err(error) => {
                assert!(error.contains("damaged") || error.contains("data"), "byte {at}: {error}");
                noticed += 1;
            }
            Ok(found) => {
                assert!(found == right, "byte {at} of {}: wrong data", whole.len());
                harmless += 1;
            }
        }
    }
    println!("{noticed} noticed, {harmless} harmless");
    assert!(noticed > 20);
}

/// A folder whose hub has written and gone.
async fn written() -> Arc<TempDir> {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for i in 0..60 {
        writer.put(&format!("tenant_config_{i}"), &format!("value {i}").repeat(20)).await.unwrap();
    }
    writer.put("tenant_config_0", "the last write").await.unwrap();
    writer.put_for("cart", "param_config_x", "own", None).await.unwrap();
    drop(writer);
    soon("the hub to stop", hub.stop()).await
}

/// What the store in a folder says, values and all.
async fn read(folder: &Path) -> Result<BTreeMap<String, (u64, Vec<u8>)>, String> {
    let bounds = Bounds { tenant_entries: 1_000, tenant_bytes: 1_000_000 };
    let feed = confhub::source::Feed::default();
    let owned = folder.to_owned();
    let open = move || Embedded::open(&owned, bounds, system_clock(), feed);
    let store = tokio::task::spawn_blocking(open).await.expect("opening does not panic");
    let store = store.map_err(|error| error.to_string())?;
    let tenant = TenantId::new("acme").unwrap();
    let reading = store.load(&tenant, &[], Urgency::Demand).await.map_err(|error| error.to_string())?;
    store.close().await;
    let entries =
        reading.entries.into_iter().filter_map(|(address, entry)| Some((address.to_string(), entry?)));
    Ok(entries.map(|(address, entry)| (address, (entry.version(), entry.value().to_vec()))).collect())
}

#[tokio::test]
async fn versions_stay_above_those_of_keys_that_are_forgotten() {
    let hub = Hub::start_with(|settings| settings.limits.tenant_entries = 4).await;
    let writer = hub.caller("acme").await;
    let mut highest = 0;
    for _ in 0..3 {
        highest = writer.put("tenant_config_first", "x").await.unwrap();
    }
    writer.delete_for("", "tenant_config_first").await.unwrap();
    // More deleted keys than the tenant may have entries: the oldest are forgotten.
    for i in 0..8 {
        let key = format!("tenant_config_{i}");
        writer.put(&key, "x").await.unwrap();
        writer.delete_for("", &key).await.unwrap();
    }
    assert!(writer.history("", "tenant_config_first", 0).await.is_err(), "it is forgotten");
    let again = writer.put("tenant_config_first", "y").await.unwrap();
    assert!(again > highest + 1, "version {again} after {highest} and a deletion");
}
