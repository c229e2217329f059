//! Nanoseconds of an evaluation, ours and theirs in turn, round by round.

#[path = "../../../src/summary.rs"]
#[allow(dead_code, reason = "what is shared has more to it")]
mod summary;

use confhub_client::openfeature::Provider;
use confhub_flags_bench::{FLAGS, Result, USERS, agree, hub, ours, theirs, users};
use open_feature::provider::FeatureProvider;
use std::hint::black_box;
use summary::Summary;
use tokio::time::Instant;

/// How often all users are asked for in a round: theirs takes many times as long.
const OURS: usize = 100;
const THEIRS: usize = 2;

/// Runs something, and gives the nanoseconds of one of so many operations.
fn nanos(operations: usize, run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    started.elapsed().as_secs_f64() * 1e9 / operations as f64
}

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).map_or(Ok(31), |rounds| rounds.parse::<usize>())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let flags = ours()?;
    let plain = runtime.block_on(theirs(folder.path(), false))?;
    let cached = runtime.block_on(theirs(folder.path(), true))?;
    runtime.block_on(agree(&flags, &plain))?;
    let provider = Provider::new(&runtime.block_on(hub::client())?);
    let (our_users, their_users) = users();

    println!(
        "| flag | value | with details | through OpenFeature | open-feature-flagd | to details | to OpenFeature | with its cache |\n|---|---|---|---|---|---|---|---|"
    );
    for flag in FLAGS {
        let ask = |provider: &dyn FeatureProvider| {
            runtime.block_on(async {
                for user in their_users.iter().cycle().take(THEIRS * USERS) {
                    let _ = black_box(provider.resolve_bool_value(black_box(flag), user).await);
                }
            });
        };
        let mut figures = [const { Vec::new() }; 5];
        for round in 0..=rounds {
            let figure = [
                nanos(OURS * USERS, || {
                    for user in our_users.iter().cycle().take(OURS * USERS) {
                        black_box(flags.value::<bool>(black_box(flag), false, user, &|| 0));
                    }
                }),
                nanos(OURS * USERS, || {
                    for user in our_users.iter().cycle().take(OURS * USERS) {
                        black_box(flags.details::<bool>(black_box(flag), false, user, &|| 0));
                    }
                }),
                nanos(THEIRS * USERS, || ask(&provider)),
                nanos(THEIRS * USERS, || ask(&plain)),
                nanos(THEIRS * USERS, || ask(&cached)),
            ];
            // The first warms caches, theirs too.
            if round > 0 {
                figures.iter_mut().zip(figure).for_each(|(all, one)| all.push(one));
            }
        }
        let [value, details, api, theirs, cached] = &figures;
        let shown = |it: Option<Summary>| it.map_or_else(String::new, |it| it.to_string());
        let of = |figures: &[f64]| shown(Summary::of(figures.iter().copied()));
        println!(
            "| {flag} | {} | {} | {} | {} | {} | {} | {} |",
            of(value),
            of(details),
            of(api),
            of(theirs),
            shown(Summary::ratio(theirs, details)),
            shown(Summary::ratio(theirs, api)),
            of(cached)
        );
    }
    Ok(())
}
