//! The cost of validation: a token seen for the first time, and one remembered,
//! beside what a unary call costs.

use crate::calls::{self, CallRound};
use crate::issuer::{self, Issuer};
use clap::Args;
use confhub::auth::Authenticator;
use confhub::clock::system_clock;
use confhub::config::{AuthSettings, JwksLocation};
use confhub_benches::Result;
use confhub_benches::hub::CallPace;
use confhub_benches::place::HubArgs;
use confhub_benches::summary::Summary;
use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::Algorithm;
use serde::Serialize;
use tokio::time::Instant;

#[derive(Args)]
pub(crate) struct ValidationArgs {
    /// Tokens of each algorithm in each round.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    tokens: u32,
    /// Rounds; each has new keys, and all algorithms in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Calls of each kind in each round.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(100..=4_900))]
    calls: u32,
    #[command(flatten)]
    at: HubArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Figures of one round, in microseconds a call.
#[derive(Serialize)]
struct Round {
    algorithm: String,
    first_us: f64,
    remembered_us: f64,
}

/// What is measured, in turn.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];

/// What was found.
#[derive(Serialize)]
struct Report {
    validations: Vec<Round>,
    calls: Vec<CallRound>,
}

const NOTHING: &str = "nothing was measured";

pub(crate) async fn run(args: &ValidationArgs) -> Result<bool> {
    let hub = args.at.place()?.hub(CallPace::Lifted).await?;
    let mut report = Report { validations: Vec::new(), calls: Vec::new() };
    for number in 0..args.rounds {
        for algorithm in ALGORITHMS {
            report.validations.push(round(algorithm, args.tokens).await?);
        }
        report.calls.push(calls::round(&hub, number, usize::try_from(args.calls)?).await?);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print()?;
    }
    Ok(true)
}

impl Report {
    fn print(&self) -> Result<()> {
        let summary = |rounds: &[f64]| Summary::of(rounds.iter().copied()).ok_or(NOTHING);
        let call = |of: fn(&CallRound) -> f64| self.calls.iter().map(of).collect::<Vec<_>>();
        let (known, new) = (call(|round| round.known_cpu_us), call(|round| round.new_cpu_us));
        println!("{:<34} {:>24} {:>24}", "us a unary call", "CPU of the hub", "there and back, p50");
        let walls = (call(|round| round.known_p50_us), call(|round| round.new_p50_us));
        for (name, cpu, wall) in [("one token", &known, &walls.0), ("always another token", &new, &walls.1)] {
            println!("{name:<34} {:>24} {:>24}", summary(cpu)?, summary(wall)?);
        }
        let ratio = Summary::ratio(&new, &known).ok_or(NOTHING)?;
        println!("{:<34} {ratio:>24}\n", "another / one");
        let head = ["us a validation", "first", "remembered", "share of a call, %", "remembered, %"];
        println!("{:<16} {:>24} {:>24} {:>24} {:>24}", head[0], head[1], head[2], head[3], head[4]);
        for algorithm in ALGORITHMS.map(|algorithm| format!("{algorithm:?}")) {
            let all = |of: fn(&Round) -> f64| -> Vec<f64> {
                let rounds = self.validations.iter().filter(|round| round.algorithm == algorithm);
                rounds.map(of).collect()
            };
            let (first, remembered) = (all(|round| round.first_us), all(|round| round.remembered_us));
            // A call with a new token is one with a known token, and a validation.
            let share = |us: &[f64], whole: fn(f64, f64) -> f64| {
                Summary::of(us.iter().zip(&known).map(|(us, call)| 100.0 * us / whole(*us, *call)))
            };
            let whole = share(&first, |us, call| us + call).ok_or(NOTHING)?;
            let again = share(&remembered, |_, call| call).ok_or(NOTHING)?;
            let (first, remembered) = (summary(&first)?, summary(&remembered)?);
            println!("{algorithm:<16} {first:>24} {remembered:>24} {whole:>24} {again:>24}");
        }
        Ok(())
    }
}

async fn round(algorithm: Algorithm, tokens: u32) -> Result<Round> {
    let issuer = Issuer::new(algorithm)?;
    let folder = tempfile::tempdir()?;
    let jwks = folder.path().join("jwks.json");
    std::fs::write(&jwks, issuer.jwks())?;
    let settings = AuthSettings {
        issuer: Some(issuer::NAME.to_owned()),
        jwks: Some(JwksLocation::File(jwks)),
        ..AuthSettings::default()
    };
    let authenticator = Authenticator::open(&settings, folder.path(), system_clock()).await?;
    let headers = |index: u32| -> Result<HeaderMap> {
        let token = issuer.token(&format!("subject-{index}"))?;
        let value = HeaderValue::try_from(format!("Bearer {token}"))?;
        Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
    };
    let callers = (0..tokens).map(headers).collect::<Result<Vec<_>>>()?;
    let first_us = each_us(&authenticator, &callers).await?;
    let remembered_us = each_us(&authenticator, &callers).await?;
    Ok(Round { algorithm: format!("{algorithm:?}"), first_us, remembered_us })
}

/// Mean time to authenticate each of these callers once.
async fn each_us(authenticator: &Authenticator, callers: &[HeaderMap]) -> Result<f64> {
    let since = Instant::now();
    for headers in callers {
        authenticator.authenticate(headers).await?;
    }
    Ok(since.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(callers.len())?))
}
