//! Cases measured in turn, round by round.

use confhub_benches::Result;
use confhub_benches::summary::Summary;
use serde_json::json;
use tokio::time::Instant;

/// What has been measured.
pub(crate) struct Harness {
    rounds: u32,
    cases: Vec<Measured>,
}

/// A case that has been measured.
#[derive(Clone, Copy)]
pub(crate) struct Case(usize);

struct Measured {
    name: &'static str,
    /// Nanoseconds an operation, one for each round.
    rounds: Vec<f64>,
    /// The case that this one is compared with.
    beside: usize,
}

/// A case to measure: its name, and what performs that many operations.
pub(crate) type Run<'a> = (&'static str, u32, Box<dyn FnMut() + 'a>);

impl Harness {
    pub(crate) fn new(rounds: u32) -> Self {
        Self { rounds, cases: Vec::new() }
    }

    /// Measures cases in turn. The first one is what the others are compared
    /// with. In each round the order starts at another case, so that none is
    /// always the one that follows a certain other.
    pub(crate) fn measure(&mut self, mut runs: Vec<Run<'_>>) -> Vec<Case> {
        let first = self.cases.len();
        for (name, _, run) in &mut runs {
            // Once unmeasured: caches and branch predictors are warm then.
            run();
            self.cases.push(Measured { name, rounds: Vec::new(), beside: first });
        }
        for round in 0..usize::try_from(self.rounds).unwrap_or(usize::MAX) {
            for turn in 0..runs.len() {
                let index = (round + turn) % runs.len();
                let (_, operations, run) = &mut runs[index];
                let started = Instant::now();
                run();
                let nanos = started.elapsed().as_secs_f64() * 1e9;
                self.cases[first + index].rounds.push(nanos / f64::from(*operations));
            }
        }
        (first..self.cases.len()).map(Case).collect()
    }

    /// A case to the one that it is compared with.
    pub(crate) fn ratio(&self, case: Case) -> Option<Summary> {
        let measured = &self.cases[case.0];
        Summary::ratio(&measured.rounds, &self.cases[measured.beside].rounds)
    }

    pub(crate) fn print(&self, as_json: bool) -> Result<()> {
        let mut rows = Vec::new();
        if !as_json {
            println!(
                "{:<58} {:>30}   {:<28}",
                "median (least .. greatest)", "ns an operation", "ratio to plain"
            );
        }
        for (index, case) in self.cases.iter().enumerate() {
            let nanos = Summary::of(case.rounds.iter().copied()).ok_or("nothing was measured")?;
            let ratio = self.ratio(Case(index)).ok_or("nothing was measured")?;
            if as_json {
                rows.push(json!({ "case": case.name, "nanoseconds": nanos, "ratio": ratio }));
            } else if case.beside == index {
                println!("{:<58} {nanos:>30}", case.name);
            } else {
                println!("  {:<56} {nanos:>30}   {ratio:<28}", case.name);
            }
        }
        if as_json {
            println!("{}", serde_json::to_string_pretty(&rows)?);
        }
        Ok(())
    }
}
