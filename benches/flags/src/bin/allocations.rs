//! Allocations of an evaluation, ours and theirs.

use allocation_counter::measure;
use confhub_client::openfeature::Provider;
use confhub_flags_bench::{FLAGS, Result, USERS, hub, ours, theirs, users};
use open_feature::provider::FeatureProvider;
use std::hint::black_box;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let flags = ours()?;
    let plain = runtime.block_on(theirs(folder.path(), false))?;
    let provider = Provider::new(&runtime.block_on(hub::client())?);
    let (our_users, their_users) = users();
    println!(
        "| flag | allocations, and bytes | through OpenFeature | open-feature-flagd |\n|---|---|---|---|"
    );
    for flag in FLAGS {
        let mine = measure(|| {
            for user in &our_users {
                black_box(flags.details::<bool>(black_box(flag), false, user, &|| 0));
            }
        });
        let ask = |provider: &dyn FeatureProvider| {
            measure(|| {
                runtime.block_on(async {
                    for user in &their_users {
                        let _ = black_box(provider.resolve_bool_value(black_box(flag), user).await);
                    }
                });
            })
        };
        let each = |it: allocation_counter::AllocationInfo| {
            let [count, bytes] = [it.count_total, it.bytes_total].map(|count| count as f64 / USERS as f64);
            format!("{count:.1}, {bytes:.0}")
        };
        println!("| {flag} | {} | {} | {} |", each(mine), each(ask(&provider)), each(ask(&plain)));
    }
    Ok(())
}
