//! What fuzzing has found once is tried in every run: each committed file of
//! `tests/fuzz/corpus` goes through the check of its target.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "fuzz/src/lib.rs"]
mod targets;

/// Most files of one corpus, and most bytes: a repository is no place for more.
const FILES: usize = 50;
const BYTES: usize = 100_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus")
}

fn replay(target: &str, check: fn(&[u8])) {
    let files = fs::read_dir(folder().join(target)).unwrap().map(|file| file.unwrap().path());
    let (mut count, mut bytes) = (0, 0);
    for path in files {
        let data = fs::read(&path).unwrap();
        // Where it fails, this says on what.
        println!("{}", path.display());
        check(&data);
        count += 1;
        bytes += data.len();
    }
    assert!((10..=FILES).contains(&count) && bytes <= BYTES, "{count} files with {bytes} bytes");
}

macro_rules! replayed {
    ($($target:ident: $promise:ident;)*) => {
        $(
            #[test]
            fn $promise() {
                replay(stringify!($target), targets::$target::check);
            }
        )*

        #[test]
        fn every_corpus_is_replayed() {
            let mut found: Vec<_> = fs::read_dir(folder()).unwrap().map(|f| f.unwrap().file_name()).collect();
            found.sort();
            assert_eq!(found, [$(stringify!($target)),*]);
        }
    };
}

replayed! {
    claims: whoever_is_let_in_is_who_the_claims_say;
    cursor: every_cursor_leads_to_the_present_state;
    disk: a_file_is_believed_if_it_is_whole_and_otherwise_not;
    events: an_event_names_places_and_nothing_else;
    flag: what_writers_may_write_evaluators_take;
    frames: an_update_arrives_whole_or_not_at_all;
    import: what_is_exported_is_imported_as_it_was;
    messages: a_body_has_one_whole_message_however_it_is_cut;
    names: a_name_means_one_place_and_no_other;
}
