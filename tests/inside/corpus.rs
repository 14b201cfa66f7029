//! Replays every file of tests/corpus: hand-picked inputs, and every input that was ever found to
//! break a promise.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use nftmesh::fuzz;

/// Takes any bytes, and panics where the crate breaks a promise.
type Body = fn(&[u8]);

/// The fuzz targets and the folders of their corpora.
const TARGETS: &[(&str, Body)] = &[
    ("compare", fuzz::compare),
    ("decode", fuzz::decode),
    ("diff", fuzz::diff),
    ("import", fuzz::import),
    #[cfg(feature = "json")]
    ("json", fuzz::json),
    ("options", fuzz::options),
    ("replies", fuzz::replies),
    ("roundtrip", fuzz::roundtrip),
    ("text", fuzz::text),
    ("walk", fuzz::walk),
];

#[test]
fn every_file_of_the_corpus_passes() {
    for (target, body) in TARGETS {
        let files = files(target);
        assert!(!files.is_empty(), "tests/corpus/{target} is empty");
        let broken = files.iter().filter(|(_, bytes)| catch_unwind(|| body(bytes)).is_err());
        let broken: Vec<_> = broken.map(|(name, _)| name).collect();
        assert!(broken.is_empty(), "tests/corpus/{target}: {broken:?} of {} files; the panics are above", files.len());
    }
}

#[test]
fn every_corpus_file_passes_when_cut_anywhere() {
    for (target, body) in TARGETS {
        for (name, bytes) in files(target) {
            for length in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
                let cut = bytes.get(..length).unwrap_or_default();
                assert!(catch_unwind(|| body(cut)).is_ok(), "tests/corpus/{target}/{name}, its first {length} bytes");
            }
        }
    }
}

#[test]
fn every_target_has_a_body_and_a_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let stem = |entry: fs::DirEntry| entry.path().file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let built = |name: &String| cfg!(feature = "json") || name != "json";
        let mut names: Vec<_> = entries.filter_map(|entry| stem(entry.expect("readable"))).filter(built).collect();
        names.sort();
        names
    };
    let known: Vec<&str> = TARGETS.iter().map(|(target, _)| *target).collect();
    assert_eq!(names(&root.join("tests/corpus")), known);
    let targets = root.join("fuzz/fuzz_targets");
    if targets.is_dir() {
        assert_eq!(names(&targets), known);
    } else {
        println!("SKIP: fuzz/ is a crate of its own and no part of the published one");
    }
}

/// Returns names and bytes, in the order of the names.
fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, fs::read(&path).expect("readable"))
        })
        .collect();
    files.sort();
    files
}
