//! Import files: what a file says is said once, within the alphabet and the
//! limits, and what is exported is imported as it was, but for secrets.
//!
//! The input is read as an import file and as a file of changes.

use confhub::fuzzing::{Imported, changes, export, import};
use confhub_proto::{Bytes, Content, Entry, limits, wire};
use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

pub fn check(data: &[u8]) {
    match import(data) {
        Ok(imported) => check_imported(&imported),
        Err(error) => assert!(error.starts_with("file:"), "{error}"),
    }
    match changes(data) {
        Ok(changes) => check_changes(&changes),
        Err(error) => assert!(error.starts_with("file:"), "{error}"),
    }
}

fn check_imported(imported: &[Imported]) {
    let places = imported.iter().map(|(service, key, _)| (service, key));
    assert!(places.is_sorted_by(|one, next| one < next), "each entry once, in order");
    for (service, key, content) in imported {
        check_place(service.as_ref().map_or("", |service| service.as_str()), key.as_str());
        assert!(["tenant_config_", "param_config_"].iter().any(|prefix| key.as_str().starts_with(prefix)));
        if let Some(content) = content {
            assert!(content.value.len() <= limits::VALUE_BYTES);
            assert!(
                content.content_type.len() <= limits::CONTENT_TYPE_BYTES && !content.content_type.is_empty()
            );
        }
    }
    // A secret comes back as a mark alone, and with it what a mark was.
    let mark = || Content { value: Bytes::new(), content_type: Content::TEXT.into(), secret: true };
    let entry = |(service, key, content): &Imported| {
        Entry::new(key.clone(), service.clone(), content.clone().unwrap_or_else(mark), 1, UNIX_EPOCH)
    };
    let exported = export(&imported.iter().map(entry).collect::<Vec<_>>()).unwrap();
    let again = import(&exported).unwrap_or_else(|error| panic!("what was exported is refused: {error}"));
    let kept = |(service, key, content): &Imported| {
        (service.clone(), key.clone(), content.clone().filter(|content| !content.secret))
    };
    assert!(
        again.iter().eq(imported.iter().map(kept).collect::<Vec<_>>().iter()),
        "{again:?} of {imported:?}"
    );
    // Whatever the values of the secrets are, the file is the same.
    let veiled = |(service, key, content): &Imported| {
        let content = content.clone().unwrap_or_else(mark);
        let value = if content.secret { "another".into() } else { content.value.clone() };
        Entry::new(key.clone(), service.clone(), Content { value, ..content }, 1, UNIX_EPOCH)
    };
    assert_eq!(
        export(&imported.iter().map(veiled).collect::<Vec<_>>()).unwrap(),
        exported,
        "a secret was exported"
    );
}

fn check_place(service: &str, key: &str) {
    assert!(service.is_empty() || (super::is_strict(service, 64) && service != "shared"), "{service}");
    assert!(super::is_strict(key, 256), "{key}");
}

fn check_changes(changes: &[wire::Change]) {
    let mut places = BTreeSet::new();
    for change in changes {
        check_place(&change.service, &change.key);
        assert!(places.insert((&change.service, &change.key)), "changed twice");
        assert!(change.action.is_some());
    }
}
