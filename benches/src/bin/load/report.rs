//! The figures of all rounds of one load, for people and for programs.

use crate::ledger::Faults;
use crate::peer::Side;
use crate::plan::HTTP2_HEAD;
use crate::session::{Figures, Round};
use confhub_benches::Result;
use confhub_benches::summary::Summary;

/// Prints, and tells whether every promise was kept in every round.
pub(crate) fn print(rounds: &[Round], sides: &[Side], as_json: bool) -> Result<bool> {
    let whole = rounds.iter().all(|round| round.faults.is_none());
    if as_json {
        println!("{}", serde_json::to_string_pretty(rounds)?);
        return Ok(whole);
    }
    let first = rounds.first().and_then(|round| Some((round, round.cases.first()?)));
    let (round, figures) = first.ok_or("nothing was measured")?;
    println!("{}; of a write a stream gets {} and {HTTP2_HEAD} of HTTP/2", round.shape, figures.case);
    let table = Table { rounds, sides };
    let heads: String = sides.iter().map(|side| format!("{side:>28}")).collect();
    println!("{:<36} {heads}", "median (least .. greatest)");
    table.row("CPU a delivery, us", |_, case| case.cpu_us, true);
    table.row("  of the load itself, us", |_, case| case.own_cpu_us, false);
    table.row("bytes a delivery", |_, case| case.bytes, false);
    table.row("write to receipt p50, ms", |_, case| case.p50_ms, true);
    table.row("write to receipt p99, ms", |_, case| case.p99_ms, true);
    table.row("write to receipt p99.9, ms", |_, case| case.p999_ms, true);
    table.row("write to the last stream, ms", |_, case| case.last_ms, true);
    table.row("write to acknowledgement p50, ms", |_, case| case.acknowledged_ms, false);
    table.row("CPU to open a stream, us", |round, _| round.opening.cpu_us, true);
    table.row("memory a connection, kB", |round, _| round.opening.connection_kb, false);
    table.row("memory a stream beyond that, kB", |round, _| round.opening.stream_kb, false);
    table.row("memory grown, a stream, kB", |_, case| case.grown_kb, false);
    for side in sides {
        let cases = || rounds.iter().filter(|round| round.side == *side).flat_map(|round| &round.cases);
        let deliveries: u64 = cases().map(|case| case.deliveries).sum();
        let superseded: u64 = cases().map(|case| case.superseded).sum();
        println!("{side}, all rounds: {deliveries} deliveries, {superseded} merged into a newer version");
    }
    println!("{}: {}", if whole { "ok" } else { "BROKEN" }, faults(rounds));
    Ok(whole)
}

/// The faults of all rounds together, in words.
pub(crate) fn faults(rounds: &[Round]) -> String {
    let sum = |at: usize| rounds.iter().map(|round| round.faults.named()[at].1).sum::<u64>();
    let names = Faults::default().named();
    let named = names.iter().enumerate().map(|(at, (name, _))| format!("{} {name}", sum(at)));
    named.collect::<Vec<_>>().join(", ")
}

struct Table<'a> {
    rounds: &'a [Round],
    sides: &'a [Side],
}

impl Table<'_> {
    /// A figure of each side, and its ratios to the second side where it compares.
    fn row(&self, name: &str, of: impl Fn(&Round, &Figures) -> f64, compare: bool) {
        let all = |side: Side| {
            let rounds = self.rounds.iter().filter(|round| round.side == side);
            rounds.filter_map(|round| Some(of(round, round.cases.first()?))).collect::<Vec<_>>()
        };
        let show = |summary: Option<Summary>| summary.map_or_else(String::new, |summary| summary.to_string());
        let figures: String =
            self.sides.iter().map(|side| format!("{:>28}", show(Summary::of(all(*side))))).collect();
        println!("{name:<36} {figures}");
        if let ([first, others @ ..], true) = (self.sides, compare) {
            let ratio = |side: &Side| format!("{:>28}", show(Summary::ratio(&all(*first), &all(*side))));
            let ratios: String = others.iter().map(ratio).collect();
            println!("{:<36} {:>28}{ratios}", format!("  {first} / other"), "");
        }
    }
}
