//! Allocations of an evaluation, ours and theirs.

use allocation_counter::measure;
use confhub_flags_bench::{FLAGS, Result, USERS, ours, theirs, users};
use open_feature::provider::FeatureProvider as _;
use std::hint::black_box;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let flags = ours()?;
    let plain = runtime.block_on(theirs(folder.path(), false))?;
    let (our_users, their_users) = users();
    println!("| flag | allocations, and bytes | open-feature-flagd |\n|---|---|---|");
    for flag in FLAGS {
        let mine = measure(|| {
            for user in &our_users {
                black_box(flags.details::<bool>(black_box(flag), false, user, &|| 0));
            }
        });
        let told = measure(|| {
            runtime.block_on(async {
                for user in &their_users {
                    let _ = black_box(plain.resolve_bool_value(black_box(flag), user).await);
                }
            });
        });
        let each = |count: u64| count as f64 / USERS as f64;
        println!(
            "| {flag} | {}, {} | {:.1}, {:.0} |",
            each(mine.count_total),
            each(mine.bytes_total),
            each(told.count_total),
            each(told.bytes_total)
        );
    }
    Ok(())
}
