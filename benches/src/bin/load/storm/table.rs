//! The figures of all rounds of a storm, for people.

use super::{MOMENTS, Round, VISITS, Visit};
use crate::args::Storm;
use crate::session::{count, float};
use confhub_benches::summary::Summary;

/// What opening may cost at most, as a ratio to the floor, with an unchanged state and
/// with a snapshot that all share.
const BARS: [(usize, f64); 2] = [(0, 1.5), (3, 3.0)];

pub(super) fn print(storm: &Storm, rounds: &[Round]) {
    let Storm { clients, at_once, keys, cursors, .. } = storm;
    println!(
        "{clients} clients, at most {at_once} on their way at a time, {keys} keys, {cursors} cursors where there were changes"
    );
    println!(
        "{:<34}{:>26}{:>26}{:>26}",
        "median (least .. greatest)", "CPU a client, us", "to the floor", "the last after, ms"
    );
    let floor: Vec<_> = rounds.iter().map(|round| round.floor.cpu_us).collect();
    let shown = |of: &dyn Fn(&Round) -> f64| {
        Summary::of(rounds.iter().map(of)).map_or_else(String::new, |summary| summary.to_string())
    };
    println!(
        "{:<34}{:>26}{:>26}{:>26}",
        "floor",
        shown(&|round| round.floor.cpu_us),
        "",
        shown(&|round| round.floor.last_ms)
    );
    for (at, name) in VISITS.iter().enumerate() {
        let cpu: Vec<_> = rounds.iter().map(|round| round.visits[at].came.cpu_us).collect();
        let ratio = Summary::ratio(&cpu, &floor).map_or_else(String::new, |ratio| ratio.to_string());
        let bar = BARS
            .iter()
            .find(|(bar, _)| *bar == at)
            .map_or_else(String::new, |(_, bar)| format!(" (at most {bar})"));
        println!(
            "{name:<34}{:>26}{ratio:>26}{:>26}{bar}",
            shown(&|round| round.visits[at].came.cpu_us),
            shown(&|round| round.visits[at].came.last_ms)
        );
    }
    for (at, name) in VISITS.iter().enumerate() {
        let visit = |of: &dyn Fn(&Visit) -> f64| shown(&|round| of(&round.visits[at]));
        println!(
            "{name}: {} entries a client, {} bytes, encoded {} times; half are current after {} ms; the clients\' own CPU {} us each",
            visit(&|visit| count(visit.came.entries) / float(visit.came.clients)),
            visit(&|visit| visit.came.bytes),
            visit(&|visit| visit.encodings),
            visit(&|visit| visit.came.p50_ms),
            visit(&|visit| visit.came.own_cpu_us),
        );
    }
    println!("streams that run, a write to its receipt, ms: p50, p99, p99.9");
    for (at, name) in MOMENTS.iter().enumerate() {
        let [p50, p99, p999] = [
            shown(&|round| round.running[at].p50_ms),
            shown(&|round| round.running[at].p99_ms),
            shown(&|round| round.running[at].p999_ms),
        ];
        println!("{name:<34}{p50:>26}{p99:>26}{p999:>26}");
    }
    for (number, round) in rounds.iter().enumerate() {
        let broken = VISITS.iter().zip(&round.visits).filter(|(_, visit)| !visit.is_kept());
        for (name, visit) in broken {
            println!("round {}, {name}: BROKEN: {visit:?}", number + 1);
        }
        if !round.faults.is_none() {
            println!("round {}: BROKEN beside: {:?}", number + 1, round.faults);
        }
    }
    println!("{}", if rounds.iter().all(Round::is_kept) { "ok" } else { "BROKEN" });
}
