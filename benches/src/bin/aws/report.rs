//! What is told at the end, to people and to programs.

use confhub_benches::Result;
use confhub_benches::summary::Summary;
use serde::Serialize;

/// The figures of a program.
pub(crate) trait Report: Serialize {
    /// Tells them to people.
    fn print(&self);

    /// What must be 0, with its name.
    fn faults(&self) -> Vec<(&'static str, u64)>;

    /// Targets that were missed, in words.
    fn missed(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Prints a report; true: all is as it should be.
pub(crate) fn tell(report: &impl Report, as_json: bool) -> Result<bool> {
    let faults = report.faults();
    let whole = faults.iter().all(|(_, count)| *count == 0);
    let faults: Vec<_> = faults.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let verdict = format!("{}: {}", if whole { "ok" } else { "BROKEN" }, faults.join(", "));
    if as_json {
        println!("{}", serde_json::to_string_pretty(report)?);
        eprintln!("{verdict}");
    } else {
        report.print();
        println!("{verdict}");
    }
    let missed = report.missed();
    for target in &missed {
        eprintln!("MISSED: {target}");
    }
    Ok(whole && missed.is_empty())
}

/// A median and a range, or nothing.
pub(crate) fn show(rounds: impl IntoIterator<Item = f64>) -> String {
    Summary::of(rounds).map_or_else(String::new, |summary| summary.to_string())
}

/// A count as a figure; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn figure(count: usize) -> f64 {
    count as f64
}

/// A count out of a metric.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole")]
pub(crate) fn whole(value: f64) -> u64 {
    value.round().max(0.0) as u64
}
