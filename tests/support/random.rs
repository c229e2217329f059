//! Randomness that can be had again.

/// The environment variable with the seed to use.
const SEED: &str = "CONFHUB_TEST_SEED";

/// The seed of this run, which is printed: a failure is repeated by setting it.
pub fn seed() -> u64 {
    let set = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a seed is a number"));
    let seed = set.unwrap_or_else(|| fastrand::u64(..));
    println!("{SEED}={seed}");
    seed
}

/// One of `choices`.
pub fn pick<'a, T>(random: &mut fastrand::Rng, choices: &'a [T]) -> &'a T {
    &choices[random.usize(..choices.len())]
}
