//! The cost of validation: a token seen for the first time, and one remembered.

use crate::issuer::{self, Issuer};
use clap::Args;
use confhub::auth::Authenticator;
use confhub::clock::system_clock;
use confhub::config::{AuthSettings, JwksLocation};
use confhub_benches::Result;
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

pub(crate) async fn run(args: &ValidationArgs) -> Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        for algorithm in ALGORITHMS {
            rounds.push(round(algorithm, args.tokens).await?);
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rounds)?);
        return Ok(());
    }
    println!("{:<10} {:>26} {:>26} {:>26}", "us a call", "first", "remembered", "first / remembered");
    for algorithm in ALGORITHMS.map(|algorithm| format!("{algorithm:?}")) {
        let all = |of: fn(&Round) -> f64| -> Vec<f64> {
            rounds.iter().filter(|round| round.algorithm == algorithm).map(of).collect()
        };
        let (first, remembered) = (all(|round| round.first_us), all(|round| round.remembered_us));
        let nothing = "nothing was measured";
        let ratio = Summary::ratio(&first, &remembered).ok_or(nothing)?;
        let (first, remembered) =
            (Summary::of(first).ok_or(nothing)?, Summary::of(remembered).ok_or(nothing)?);
        println!("{algorithm:<10} {first:>26} {remembered:>26} {ratio:>26}");
    }
    Ok(())
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
