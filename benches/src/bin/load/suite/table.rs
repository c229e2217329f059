//! The figures of a suite as Markdown.

use super::targets::TARGETS;
use super::{BASE, BURST, FLOOD, Results, SIZES, name};
use crate::args::ShapeName;
use crate::peer::Side;
use crate::plan::Case;
use crate::session::{Figures, Round};
use confhub_benches::summary::Summary;

/// The targets, and a table for each shape.
pub(super) fn markdown(results: &Results) -> String {
    let mut text = format!(
        "Medians of the rounds, with the least and the greatest in parentheses. Ratios are taken within each \
         round.\n\n{}",
        targets(results)
    );
    for shape in &results.shapes {
        text += &format!("\n## {}\n{}", name(*shape), figures(results, *shape));
    }
    text
}

fn targets(results: &Results) -> String {
    let mut text = "| target | shape | at most (stretch) | measured | |\n|---|---|---|---|---|\n".to_owned();
    for target in &TARGETS {
        let Some(measured) = target.measured(results) else { continue };
        let stretch = target.stretch.map_or_else(String::new, |stretch| format!(" ({stretch})"));
        text += &format!(
            "| {} | {} | {}{stretch} | {measured} | {} |\n",
            target.what,
            name(target.shape),
            target.bar,
            target.verdict(measured.median),
        );
    }
    text
}

fn figures(results: &Results, shape: ShapeName) -> String {
    let mut text =
        "| a stream gets | of | CPU a delivery, us | / floor | write to receipt p50 / p99 / p99.9, ms \
        | to the last stream, ms | memory a connection, with its streams / a stream, kB |\n\
        |---|---|---|---|---|---|---|\n"
            .to_owned();
    for case in [&[BASE, BURST, FLOOD][..], &SIZES].concat() {
        for side in &results.sides {
            text += &row(results, shape, case, *side).unwrap_or_default();
        }
    }
    text
}

/// A row of a side in a case, if it was measured.
fn row(results: &Results, shape: ShapeName, case: Case, side: Side) -> Option<String> {
    let all = |of: fn(&Round, &Figures) -> f64| results.all(side, shape, case, of);
    let median = |of: fn(&Round, &Figures) -> f64| Summary::of(all(of)).map(|summary| summary.median);
    let cpu = all(|_, case| case.cpu_us);
    let floor = results.all(Side::Floor, shape, case, |_, case| case.cpu_us);
    let ratio = Summary::ratio(&cpu, &floor).filter(|_| side != Side::Floor);
    let ratio = ratio.map_or_else(String::new, |ratio| ratio.to_string());
    let memory = if case == BASE {
        let (whole, stream) =
            (median(|round, _| round.opening.whole_kb)?, median(|round, _| round.opening.stream_kb)?);
        format!("{whole:.1} / {stream:.1}")
    } else {
        String::new()
    };
    Some(format!(
        "| {case} | {side} | {} | {ratio} | {:.1} / {:.1} / {:.1} | {} | {memory} |\n",
        Summary::of(cpu)?,
        median(|_, case| case.p50_ms)?,
        median(|_, case| case.p99_ms)?,
        median(|_, case| case.p999_ms)?,
        Summary::of(all(|_, case| case.last_ms))?,
    ))
}
