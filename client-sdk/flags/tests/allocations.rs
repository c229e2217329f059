//! Evaluation allocates nothing, whatever common kind of flag it is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use confhub_flags::{Change, Context, FlagName, FlagSet, HashVersion};

fn flags(hash: HashVersion) -> FlagSet {
    let mut flags = FlagSet::new(hash);
    for (name, rule) in [
        ("static", "{}"),
        (
            "targeted",
            r#"{"if":[{"and":[{"==":[{"var":"country"},"de"]},{"ends_with":[{"var":"email"},".example"]},
            {">":[{"var":"age"},18]},{"in":[{"var":"country"},["de","fr"]]}]},"on",null]}"#,
        ),
        ("fractional", r#"{"fractional":[["on",50],["off",50]]}"#),
        (
            "nested",
            r#"{"if":[{"==":[{"var":"country"},"de"]},{"fractional":[{"var":"email"},["on",5],["off",95]]},"off"]}"#,
        ),
    ] {
        let text = format!(
            r#"{{"state":"ENABLED","variants":{{"on":true,"off":false}},"defaultVariant":"off","targeting":{rule}}}"#
        );
        let name = FlagName::new(name).unwrap();
        let applied = flags.apply([(name.key().as_str(), Change::Value(text.as_bytes()))]);
        assert_eq!(applied.bad, []);
    }
    flags
}

#[test]
fn an_evaluation_allocates_nothing() {
    let context = Context::of("user-42").with("country", "de").with("email", "a@b.example").with("age", 33);
    for hash in [HashVersion::Cbor, HashVersion::Text, HashVersion::Percent] {
        let flags = flags(hash);
        for name in ["static", "targeted", "fractional", "nested", "missing"] {
            let counted = allocation_counter::measure(|| {
                let _ = flags.value::<bool>(name, false, &context, &|| 0);
            });
            assert_eq!(counted.count_total, 0, "{name} {hash:?}");
        }
        // All that there is to know costs nothing either, unless it is an error.
        for name in ["static", "targeted", "fractional", "nested"] {
            let counted = allocation_counter::measure(|| {
                let _ = flags.details::<bool>(name, false, &context, &|| 0);
            });
            assert_eq!(counted.count_total, 0, "details of {name} {hash:?}");
        }
    }
    // The counter counts.
    assert!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8]))).count_total > 0);
}
