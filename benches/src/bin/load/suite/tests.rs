use super::targets::{Figure, TARGETS};
use super::*;
use crate::ledger::Faults;
use crate::session::Opening;

/// A round in which a delivery costs `cpu_us`, in every case.
fn round(side: Side, shape: ShapeName, cpu_us: f64) -> Measured {
    let figures = |case| Figures {
        case,
        bursts: 1,
        deliveries: 10,
        superseded: 0,
        bytes: 200.0,
        cpu_us,
        own_cpu_us: 1.0,
        p50_ms: 1.0,
        p99_ms: 2.0,
        p999_ms: 3.0,
        last_ms: 4.0,
        acknowledged_ms: 0.5,
        grown_kb: 0.1,
    };
    let opening = Opening { connection_kb: 10.0, stream_kb: 5.0, whole_kb: 15.0, cpu_us: 100.0 };
    let cases = cases(side, shape).into_iter().map(figures).collect();
    let round = Round { side, shape: shape.shape(), opening, cases, faults: Faults::default() };
    Measured { shape, round }
}

fn results() -> Results {
    let mut measured = Vec::new();
    for shape in [ShapeName::Wide, ShapeName::Deep] {
        for factor in [1.0, 2.0, 3.0] {
            measured.push(round(Side::Hub, shape, 1.4 * factor));
            measured.push(round(Side::Floor, shape, factor));
        }
    }
    Results { sides: vec![Side::Hub, Side::Floor], shapes: vec![ShapeName::Wide, ShapeName::Deep], measured }
}

#[test]
fn a_target_is_held_against_ratios_within_rounds() {
    let results = results();
    let [wide, middle, deep, ..] = &TARGETS;
    let measured = wide.measured(&results).unwrap();
    assert!((measured.median - 1.4).abs() < 1e-9 && (measured.max - measured.min).abs() < 1e-9);
    assert_eq!(wide.verdict(measured.median), "reached");
    assert_eq!((wide.verdict(1.3), wide.verdict(1.46)), ("beyond", "MISSED"));
    assert_eq!(deep.verdict(deep.measured(&results).unwrap().median), "beyond");
    assert!(middle.measured(&results).is_none(), "nobody has measured it");
}

#[test]
fn the_table_and_the_plot_have_what_was_measured() {
    let results = results();
    let table = table::markdown(&results);
    assert!(
        table.contains(
            "| CPU a delivery, hub / floor | 10000x1 | 1.45 (1.3) | 1.40 (1.40 .. 1.40) | reached |"
        )
    );
    assert!(table.contains("| 64 KB | hub |") && table.contains("| 200 B (bursts of 64) | hub |"));
    assert!(!table.contains("NaN") && !table.contains("1000x10 |"));
    let plot = plot::svg(&results);
    assert_eq!(plot.matches("<svg").count(), plot.matches("</svg>").count());
    assert!(plot.contains(">1.4<") && plot.contains("10000x1") && !plot.contains("NaN"));
}

#[test]
fn every_target_is_of_a_case_that_is_measured() {
    for target in &TARGETS {
        let mut results = Results { sides: Vec::new(), shapes: Vec::new(), measured: Vec::new() };
        for side in Side::value_variants() {
            results.measured.push(round(*side, target.shape, 1.0));
        }
        assert!(target.measured(&results).is_some(), "{}", target.what);
    }
    let round = round(Side::Hub, ShapeName::Wide, 1.0).round;
    let figures = &round.cases[0];
    assert_eq!((Figure::P99.of(&round, figures), Figure::Last.of(&round, figures)), (2.0, 4.0));
    assert_eq!((Figure::WholeKb.of(&round, figures), Figure::StreamKb.of(&round, figures)), (15.0, 5.0));
}
