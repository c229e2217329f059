//! One flood after the other, each on a new hub.

use crate::flood::Flood;
use crate::honest::Honest;
use clap::ValueEnum as _;
use confhub_benches::Result;
use confhub_benches::hub::{CallPace, Caller, Hub, Program};
use serde::Serialize;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

/// How long the honest client is alone at first.
const ALONE: Duration = Duration::from_secs(2);

/// A tenant of 4 MiB: so many values of so many bytes.
const LARGE: (usize, usize) = (70, 60_000);

/// After its last frame an offender waits so long for the hub to close.
const GRACE: Duration = Duration::from_millis(1_500);

#[derive(Serialize)]
struct Row {
    flood: Flood,
    sent: u32,
    connections: usize,
    closed: usize,
    /// Reasons that the hub counts, or the code of its GOAWAY.
    by: Vec<String>,
    closed_after_s: Option<f64>,
    before_kb: f64,
    peak_kb: f64,
    after_kb: f64,
    /// Of one core.
    cpu: f64,
    p99_before_us: f64,
    p99_during_us: f64,
    p99_ratio: f64,
    honest_calls: usize,
    honest_failed: usize,
}

pub(crate) async fn run(only: &[Flood], seconds: u64, json: bool) -> Result<()> {
    let floods = if only.is_empty() { Flood::value_variants() } else { only };
    let mut rows = Vec::new();
    for flood in floods {
        eprintln!("{flood:?}");
        rows.push(measure(*flood, Duration::from_secs(seconds)).await?);
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print(&rows);
    }
    Ok(())
}

async fn measure(flood: Flood, most: Duration) -> Result<Row> {
    let hub = Hub::start(&Program::Itself { current_thread: false }, CallPace::Default).await?;
    let honest = Honest::new(&hub).await?;
    if flood == Flood::ZeroWindow {
        let writer = Caller::new(hub.channel().await?, &hub.token("globex")?)?;
        let value = format!("\"{}\"", "x".repeat(LARGE.1));
        for i in 0..LARGE.0 {
            writer.put(&format!("tenant_config_{i}"), value.clone().into()).await?;
        }
    }
    let alone = honest.reads(sleep(ALONE)).await;
    let (before_kb, cpu_before) = (hub.server.memory_kb()?, hub.server.cpu_time()?);
    hub.server.forget_peak()?;
    let since = Instant::now();
    let (over, ends) = oneshot::channel::<()>();
    let reading = tokio::spawn(async move { honest.reads(async { drop(ends.await) }).await });
    let outcome = flood.run(&hub, since + most + GRACE).await?;
    let elapsed = since.elapsed().as_secs_f64();
    let cpu = (hub.server.cpu_time()?.saturating_sub(cpu_before)).as_secs_f64() / elapsed;
    // A flood that was over at once is still to be noticed by others, if at all.
    sleep_until(since + ALONE).await;
    drop(over);
    let during = reading.await?;
    let peak_kb = hub.server.peak_kb()?;
    sleep(Duration::from_secs(1)).await;
    let mut by = broken(&hub).await?;
    by.extend(outcome.end.and_then(|end| end.code).map(|code| format!("GOAWAY {code}")));
    Ok(Row {
        flood,
        sent: outcome.sent,
        connections: outcome.connections,
        closed: outcome.closed,
        by,
        closed_after_s: outcome.end.map(|end| end.at.duration_since(since).as_secs_f64()),
        before_kb,
        peak_kb,
        after_kb: hub.server.memory_kb()?,
        cpu,
        p99_before_us: alone.p99_us,
        p99_during_us: during.p99_us,
        p99_ratio: during.p99_us / alone.p99_us,
        honest_calls: during.calls,
        honest_failed: during.failed,
    })
}

/// Reasons for which the hub has broken connections, with how many.
async fn broken(hub: &Hub) -> Result<Vec<String>> {
    let mut stream = TcpStream::connect(hub.http).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let series = text.lines().filter_map(|line| line.strip_prefix("confhub_broken_connections_total{"));
    Ok(series.map(|line| line.replace("reason=", "").replace(['"', '}'], "")).collect())
}

fn print(rows: &[Row]) {
    println!(
        "| flood | sent | closed | by | after s | RSS kB before / peak / after | CPU | honest p99 us before / during | ratio | failed |"
    );
    println!("| --- | --: | --: | --- | --: | --: | --: | --: | --: | --: |");
    for row in rows {
        println!(
            "| {:?} | {} | {} of {} | {} | {} | {:.0} / {:.0} / {:.0} | {:.2} | {:.0} / {:.0} | {:.1} | {} of {} |",
            row.flood,
            row.sent,
            row.closed,
            row.connections,
            row.by.join(", "),
            row.closed_after_s.map_or_else(|| "-".to_owned(), |after| format!("{after:.2}")),
            row.before_kb,
            row.peak_kb,
            row.after_kb,
            row.cpu,
            row.p99_before_us,
            row.p99_during_us,
            row.p99_ratio,
            row.honest_failed,
            row.honest_calls,
        );
    }
}
