//! The time, in one unit, and percentiles of it.

use confhub_benches::{Result, input};
use confhub_proto::Key;
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch: what the foreign writer counts in too.
pub(crate) fn now() -> Result<i128> {
    Ok(i128::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?)
}

/// From one time to another, in milliseconds; below 0 if the other was before.
#[expect(clippy::cast_precision_loss, reason = "a difference of minutes at most")]
pub(crate) fn millis(from: i128, to: i128) -> f64 {
    (to - from) as f64 / 1e6
}

/// The least value that at least this share of all is not above.
pub(crate) fn percentile(values: &[f64], percent: usize) -> Result<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).max(1) - 1;
    Ok(*values.get(rank).ok_or("nothing was measured")?)
}

/// The keys of real settings, and their values, under the prefix of a store.
pub(crate) fn settings(prefix: &str, count: usize) -> Result<Vec<input::Setting>> {
    let renamed = |mut setting: input::Setting| {
        let name = setting.key.as_str().replacen("tenant_config_", prefix, 1);
        setting.key = Key::new(&name)?;
        Ok(setting)
    };
    input::settings(count)?.into_iter().map(renamed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<_> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 50).unwrap(), 50.0);
        assert_eq!(percentile(&values, 99).unwrap(), 99.0);
        assert_eq!(percentile(&[7.0], 99).unwrap(), 7.0);
        assert!(percentile(&[], 50).is_err());
    }

    #[test]
    fn keys_are_of_the_store_that_owns_them() {
        let settings = settings("param_config_", 10).unwrap();
        assert!(settings.iter().all(|setting| setting.key.as_str().starts_with("param_config_")));
    }
}
