//! Batches: as many changes as one `Apply` takes, of one backend each.

use super::{Routes, Step};
use confhub_flags::{Common, SET_KEY};
use confhub_proto::{limits, wire};
use prost::Message;
use std::collections::BTreeMap;

/// Bytes that a change takes in a request beside its own: tag and length, with
/// room for the framing of the request itself.
const CHANGE_OVERHEAD_BYTES: usize = 16;

/// Splits writes into batches, each of which the hub takes or refuses as a whole.
pub(crate) fn split<'s>(
    steps: impl IntoIterator<Item = &'s Step>,
    routes: &Routes,
) -> Vec<Vec<wire::Change>> {
    let mut by_backend: BTreeMap<&str, Vec<wire::Change>> = BTreeMap::new();
    let mut steps: Vec<_> = steps.into_iter().collect();
    steps.sort_by_key(|step| turn(step));
    for step in steps {
        by_backend.entry(routes.backend(step.address.key.as_str())).or_default().push(step.change());
    }
    let most = |backend| routes.apply_changes(backend);
    by_backend.into_iter().flat_map(|(backend, changes)| bounded(changes, most(backend))).collect()
}

/// When a write has its turn. The hub checks each batch by itself: what flags share comes
/// before the flags that begin to use it, and after those that cease to.
fn turn(step: &Step) -> u8 {
    if step.address.key.as_str() != SET_KEY {
        return 1;
    }
    let common = |text: Option<&[u8]>| text.and_then(|text| Common::parse(text).ok()).unwrap_or_default();
    let before = common(step.present.as_ref().map(|entry| &**entry.value()));
    let after = common(step.content.as_ref().map(|content| &*content.value));
    let loses = before.evaluators.keys().any(|name| !after.evaluators.contains_key(name));
    if loses { 2 } else { 0 }
}

fn bounded(changes: Vec<wire::Change>, most: usize) -> Vec<Vec<wire::Change>> {
    let mut batches: Vec<Vec<wire::Change>> = Vec::new();
    let mut bytes = 0;
    for change in changes {
        let change_bytes = change.encoded_len() + CHANGE_OVERHEAD_BYTES;
        let fits = bytes + change_bytes <= limits::REQUEST_BYTES;
        match batches.last_mut() {
            Some(batch) if fits && batch.len() < most => {
                bytes += change_bytes;
                batch.push(change);
            }
            _ => {
                bytes = change_bytes;
                batches.push(vec![change]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::super::Difference;
    use super::*;
    use crate::cli::document::Address;
    use confhub_proto::{Content, Entry};

    fn step(key: &str, value_bytes: usize) -> Step {
        let content =
            Content::new(vec![0; value_bytes].into(), Content::BINARY, false, limits::VALUE_BYTES).unwrap();
        Step {
            difference: Difference::Added,
            address: Address { service: None, key: key.parse().unwrap() },
            content: Some(content),
            present: None,
        }
    }

    fn routes(prefixes: &[(&str, &str)]) -> Routes {
        let backend = |(prefix, backend): &(&str, &str)| wire::BackendStatus {
            prefix: (*prefix).to_owned(),
            backend: (*backend).to_owned(),
            apply_changes: if *backend == "ssm" { 1 } else { 0 },
            ..Default::default()
        };
        let backends = prefixes.iter().map(backend).collect();
        Routes::new(&wire::StatusResponse { backends, ..Default::default() })
    }

    fn check(steps: &[Step], routes: &Routes) -> Vec<usize> {
        let batches = split(steps, routes);
        for batch in &batches {
            let request = wire::ApplyRequest { changes: batch.clone() };
            assert!(request.encoded_len() <= limits::REQUEST_BYTES);
        }
        batches.iter().map(Vec::len).collect()
    }

    #[test]
    fn batches_stay_under_every_limit_and_lose_nothing() {
        let routes = routes(&[("a", "embedded"), ("b", "embedded")]);
        let many: Vec<_> = (0..2_500).map(|n| step(&format!("a{n}"), 1)).collect();
        assert_eq!(check(&many, &routes), [1_000, 1_000, 500]);
        let large: Vec<_> = (0..20).map(|n| step(&format!("b{n}"), 512 * 1024)).collect();
        assert_eq!(check(&large, &routes), [7, 7, 6]);
        assert!(check(&[], &routes).is_empty());
    }

    #[test]
    fn what_flags_share_comes_before_them_or_after_as_it_gains_or_loses() {
        let content = |text: &str| {
            let text = text.to_owned().into();
            Content::new(text, confhub_flags::SET_TYPE, false, limits::VALUE_BYTES).unwrap()
        };
        let with = r#"{"$evaluators":{"x":{"!":[{"var":"a"}]}}}"#;
        for (before, after, turns) in [
            (None, Some(with), 0),
            (Some(with), Some(with), 0),
            (Some(with), Some("{}"), 2),
            (Some(with), None, 2),
        ] {
            let mut step = step(SET_KEY, 1);
            step.content = after.map(content);
            step.present = before.map(|text| {
                Entry::new(
                    SET_KEY.parse().unwrap(),
                    None,
                    content(text),
                    1,
                    std::time::SystemTime::UNIX_EPOCH,
                )
            });
            assert_eq!(turn(&step), turns, "{before:?} {after:?}");
        }
        assert_eq!(turn(&step("tenant_config_flag.a", 1)), 1);
    }

    #[test]
    fn a_batch_has_the_keys_of_one_backend() {
        let steps = [step("a1", 1), step("b1", 1), step("a2", 1)];
        assert_eq!(check(&steps, &routes(&[("a", "embedded"), ("b", "embedded")])), [3]);
        assert_eq!(check(&steps, &routes(&[("a", "dynamodb"), ("b", "ssm")])), [2, 1]);
        assert_eq!(check(&steps, &routes(&[("a", "ssm"), ("b", "dynamodb")])), [1, 1, 1]);
    }
}
