//! Everything in one run: all sides at all shapes, in turn, round after round.

mod pace;
mod plot;
mod table;
mod targets;

use crate::args::{ShapeName, SuiteArgs};
use crate::peer::Side;
use crate::plan::Case;
use crate::session::{Figures, Round};
use crate::{report, suite::pace::Pace};
use clap::ValueEnum as _;
use confhub_benches::Result;
use serde::Serialize;
use std::time::Duration;

/// What most entries of a configuration are: a delta of about 200 bytes.
const BASE: Case = Case { bytes: 200, burst: 1 };

/// Larger deltas; 300 bytes is just beyond where HTTP/2 libraries begin to write
/// each frame by itself.
const SIZES: [Case; 3] =
    [Case { bytes: 300, burst: 1 }, Case { bytes: 4_096, burst: 1 }, Case { bytes: 65_536, burst: 1 }];

/// Sixteen writes at once.
const BURST: Case = Case { bytes: 200, burst: 16 };

/// After which a stream should take no more memory than before.
const FLOOD: Case = Case { bytes: 200, burst: 64 };

/// Least time between two bursts of one tenant: long enough for all of 10,000
/// streams to have one, and for the server to come to rest.
const PERIOD: Duration = Duration::from_millis(100);

/// The same where each burst reaches few streams.
const SHORT_PERIOD: Duration = Duration::from_millis(5);

/// How many fewer connections a short run has.
const SHORTER: usize = 10;

/// A round, and the shape that it was asked for as.
#[derive(Serialize)]
struct Measured {
    #[serde(rename = "name", serialize_with = "as_name")]
    shape: ShapeName,
    #[serde(flatten)]
    round: Round,
}

/// All that was measured.
struct Results {
    sides: Vec<Side>,
    shapes: Vec<ShapeName>,
    measured: Vec<Measured>,
}

/// Measures, and writes table, plot and figures. True: every promise was kept.
pub(crate) async fn run(args: &SuiteArgs) -> Result<bool> {
    let (sides, shapes) = (distinct(&args.sides), distinct(&args.shapes));
    let rounds = if args.short { args.rounds.min(2) } else { args.rounds };
    let minutes = if args.short { 1 } else { args.minutes };
    let takes =
        |shape: &ShapeName| sides.iter().filter(|side| side.takes(shape.shape().streams_each)).count();
    let sessions = usize::try_from(rounds)? * shapes.iter().map(takes).sum::<usize>();
    std::fs::create_dir_all(&args.out).map_err(|error| format!("--out {}: {error}", args.out.display()))?;
    let mut pace = Pace::new(Duration::from_secs(u64::from(minutes) * 60), sessions);
    let mut results = Results { sides: sides.clone(), shapes, measured: Vec::new() };
    let mut turns = sides;
    for number in 1..=rounds {
        for name in results.shapes.clone() {
            let shape = if args.short { name.shape().smaller(SHORTER) } else { name.shape() };
            let plan = args.plan(shape, if shape.tenants == 1 { PERIOD } else { SHORT_PERIOD })?;
            for side in turns.iter().filter(|side| side.takes(shape.streams_each)) {
                eprint!("{}round {number}, {shape}, {side}: ", pace.head());
                let cases = cases(*side, name);
                let round = pace.session(*side, &plan, &cases).await?;
                eprintln!("{}", told(&round));
                results.measured.push(Measured { shape: name, round });
            }
        }
        // Who comes first changes, so that none gains from what warms up.
        turns.rotate_left(1);
    }
    write(args, &results)
}

/// What of a round is told while others go on.
fn told(round: &Round) -> String {
    let figures = round.cases.first();
    let told = figures.map_or_else(String::new, |case| {
        format!("{:.2} us a delivery, p99 {:.2} ms, {} bursts", case.cpu_us, case.p99_ms, case.bursts)
    });
    if round.faults.is_none() { told } else { format!("{told}: BROKEN") }
}

/// What is measured of a side at a shape. Bursts come before large values, which
/// leave buffers behind; what no target asks of others, and takes them seconds,
/// is left out.
fn cases(side: Side, shape: ShapeName) -> Vec<Case> {
    let ours = matches!(side, Side::Hub | Side::Floor);
    let mut cases = vec![BASE];
    if ours || shape == ShapeName::Tenants {
        cases.push(BURST);
    }
    if side == Side::Hub && shape == ShapeName::Wide {
        cases.push(FLOOD);
    }
    if shape != ShapeName::Tenants {
        cases.extend(SIZES);
    }
    cases
}

/// Each once, in order.
fn distinct<T: Copy + PartialEq>(all: &[T]) -> Vec<T> {
    let mut distinct = Vec::new();
    for one in all {
        if !distinct.contains(one) {
            distinct.push(*one);
        }
    }
    distinct
}

fn write(args: &SuiteArgs, results: &Results) -> Result<bool> {
    let rounds: Vec<_> = results.measured.iter().map(|measured| measured.round.clone()).collect();
    let whole = rounds.iter().all(|round| round.faults.is_none());
    let checks = format!("{}: {}", if whole { "ok" } else { "BROKEN" }, report::faults(&rounds));
    let table = format!("{}\n{checks}\n", table::markdown(results));
    let files = [
        ("fan-out.md", &table),
        ("fan-out.svg", &plot::svg(results)),
        ("fan-out.json", &serde_json::to_string_pretty(&results.measured)?),
    ];
    for (name, text) in files {
        let path = args.out.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        eprintln!("written: {}", path.display());
    }
    println!("{table}");
    Ok(whole)
}

impl Results {
    /// A figure of one case in each round of a side at a shape.
    fn all(
        &self,
        side: Side,
        shape: ShapeName,
        case: Case,
        of: impl Fn(&Round, &Figures) -> f64,
    ) -> Vec<f64> {
        let at = |measured: &&Measured| measured.round.side == side && measured.shape == shape;
        let rounds = self.measured.iter().filter(at).map(|measured| &measured.round);
        let figure = |round: &Round| {
            round.cases.iter().find(|figures| figures.case == case).map(|figures| of(round, figures))
        };
        rounds.filter_map(figure).collect()
    }
}

/// The name of a shape, as it is asked for.
fn name(shape: ShapeName) -> String {
    shape.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_name<S: serde::Serializer>(shape: &ShapeName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&name(*shape))
}

#[cfg(test)]
mod tests;
