//! What a delivery costs in instructions: a figure that a busy machine leaves as
//! it is, held against what is recorded.
//!
//! The hub runs under valgrind's callgrind, on one thread or on several that take turns:
//! what they do more than one, to share the work, is counted too. Counting begins once
//! all streams are open and warm, and ends when the last burst has arrived, so
//! the writes themselves are in it; each reaches enough streams for that to be
//! little. Only the hub's own instructions are counted, not the kernel's.

use crate::args::CheckArgs;
use crate::peer::{Peer as _, REMEDY};
use crate::peers::hub::TheHub;
use crate::plan::{Case, Plan, Shape};
use crate::session::{Session, count};
use confhub_benches::hub::Program;
use confhub_benches::place::HubArgs;
use confhub_benches::{Result, input};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The three shapes of fan-out, small enough for a machine that is emulated.
const SHAPES: [Shape; 3] = [
    Shape { connections: 500, streams_each: 1, tenants: 1 },
    Shape { connections: 50, streams_each: 10, tenants: 1 },
    Shape { connections: 5, streams_each: 100, tenants: 1 },
];

/// Bursts before counting begins: caches are filled, and code is translated.
const WARM: usize = 3;

/// Bursts that are counted.
const COUNTED: usize = 12;

/// How much more than what is recorded is too much.
const TOLERANCE: f64 = 1.1;

/// What is counted at each shape, in instructions a delivery.
type Counts = BTreeMap<String, f64>;

/// True: nothing costs more than it may.
pub(crate) async fn run(args: &CheckArgs) -> Result<bool> {
    // Optimised code and code that is not have nothing in common.
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let mut recorded = read(&args.recorded)?;
    if !args.record && !recorded.contains_key(profile) {
        let file = args.recorded.display();
        return Err(format!("{file} has nothing for the {profile} profile: run with --record").into());
    }
    if let Some(workers) = args.workers {
        let (more, one) = (count_all(Some(workers.into())).await?, count_all(Some(1)).await?);
        return compare(&more, &one, "on one worker thread");
    }
    let counts = count_all(None).await?;
    if args.record {
        recorded.insert(profile.to_owned(), counts.clone());
        std::fs::write(&args.recorded, serde_json::to_string_pretty(&recorded)? + "\n")
            .map_err(|error| format!("{}: {error}", args.recorded.display()))?;
    }
    compare(&counts, recorded.get(profile).unwrap_or(&counts), "recorded")
}

/// Counts at all shapes.
async fn count_all(workers: Option<usize>) -> Result<Counts> {
    let mut counts = Counts::new();
    for shape in SHAPES {
        eprintln!("{shape}: counting");
        counts.insert(shape.to_string(), measure(shape, workers).await?);
    }
    Ok(counts)
}

/// Prints both, and tells whether all is within what is tolerated.
fn compare(counts: &Counts, recorded: &Counts, what: &str) -> Result<bool> {
    let mut kept = true;
    for (shape, counted) in counts {
        let recorded = recorded
            .get(shape)
            .ok_or_else(|| format!("nothing is recorded at {shape}: run with --record"))?;
        let ratio = counted / recorded;
        let within = ratio <= TOLERANCE;
        kept &= within;
        let word = if within { "ok" } else { "MORE" };
        println!(
            "{shape:<10} {counted:>10.0} instructions a delivery, {what} {recorded:.0}: {ratio:.3} {word}"
        );
    }
    Ok(kept)
}

/// Counts for each profile; none if there is no such file yet.
fn read(path: &Path) -> Result<BTreeMap<String, Counts>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            Ok(serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

/// Instructions of the hub a delivery.
async fn measure(shape: Shape, workers: Option<usize>) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let prefix = folder.path().join("vgdb");
    let mut place = HubArgs::default().place()?;
    let option = |name: &str, path: &Path| {
        let mut option = OsString::from(name);
        option.push(path);
        option
    };
    let wrapper = vec![
        "valgrind".into(),
        "--tool=callgrind".into(),
        "--quiet".into(),
        // Starting and opening take seconds rather than minutes.
        "--instr-atstart=no".into(),
        option("--callgrind-out-file=", &out),
        option("--vgdb-prefix=", &prefix),
    ];
    place.program = Program::Under { wrapper, workers };
    let plan = Plan { shape, settings: input::settings(64)?, period: Duration::from_millis(20), place };
    let case = Case { bytes: 200, burst: 1 };
    let mut session = Session::<TheHub>::open(&plan)
        .await
        .map_err(|error| format!("{error} (valgrind is needed: run {REMEDY})"))?;
    let pid = session.peer.server().pid();
    control(&prefix, &["-i", "on"], pid)?;
    for _ in 0..WARM {
        session.case(case, Duration::ZERO).await?;
    }
    control(&prefix, &["-z"], pid)?;
    let mut deliveries = 0;
    for _ in 0..COUNTED {
        let figures = session.case(case, Duration::ZERO).await?;
        deliveries += figures.deliveries + figures.superseded;
    }
    control(&prefix, &["-d"], pid)?;
    let expected = (shape.streams() * COUNTED) as u64;
    if deliveries != expected {
        return Err(format!("{deliveries} of {expected} deliveries came").into());
    }
    let instructions = instructions(&std::fs::read_to_string(folder.path().join("out.1"))?)?;
    Ok(count(instructions) / count(deliveries))
}

/// Tells callgrind something, and waits until it has heard.
fn control(prefix: &Path, options: &[&str], pid: u32) -> Result<()> {
    let mut prefixed = OsString::from("--vgdb-prefix=");
    prefixed.push(prefix);
    let mut command = Command::new("callgrind_control");
    let done = command.arg(prefixed).args(options).arg(pid.to_string()).output();
    let done = done.map_err(|error| format!("callgrind_control: {error} (run {REMEDY})"))?;
    let said = String::from_utf8_lossy(&done.stdout);
    if done.status.success() && said.contains("OK.") {
        return Ok(());
    }
    Err(format!("callgrind_control {options:?}: {said} {}", String::from_utf8_lossy(&done.stderr)).into())
}

/// The instructions of a dump of callgrind.
fn instructions(dump: &str) -> Result<u64> {
    let events = dump.lines().any(|line| line == "events: Ir");
    let summary = dump.lines().find_map(|line| line.strip_prefix("summary: ")).filter(|_| events);
    let instructions =
        summary.ok_or("a dump of callgrind without a count of instructions")?.trim().parse()?;
    if instructions == 0 {
        return Err("callgrind has counted nothing".into());
    }
    Ok(instructions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(figure: f64) -> Counts {
        SHAPES.iter().map(|shape| (shape.to_string(), figure)).collect()
    }

    #[test]
    fn a_tenth_more_is_tolerated_and_no_more() {
        assert!(compare(&counts(1_099.0), &counts(1_000.0), "").unwrap());
        assert!(compare(&counts(100.0), &counts(1_000.0), "").unwrap());
        let mut one = counts(1_000.0);
        one.insert(SHAPES[1].to_string(), 1_101.0);
        assert!(!compare(&one, &counts(1_000.0), "").unwrap());
        assert!(compare(&one, &Counts::new(), "").unwrap_err().to_string().contains("--record"));
    }

    #[test]
    fn a_dump_tells_its_instructions() {
        let dump = "# callgrind format\nversion: 1\npositions: line\nevents: Ir\nsummary: 1234567\n\n";
        assert_eq!(instructions(dump).unwrap(), 1_234_567);
        assert!(instructions("events: Ir\nsummary: 0\n").is_err());
        assert!(instructions("events: Ir Dr\nsummary: 1 2\n").is_err());
    }

    #[test]
    fn what_is_recorded_is_read_and_a_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("instructions.json");
        assert!(read(&path).unwrap().is_empty());
        std::fs::write(&path, "{\"release\": {\"500 x 1\": 9000.5}}").unwrap();
        assert_eq!(read(&path).unwrap()["release"]["500 x 1"], 9_000.5);
        std::fs::write(&path, "{").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("instructions.json"));
    }
}
