//! README and the documentation show what the commands print.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use support::stale::newer_source;
use support::{assert_same, in_fresh_netns, needs_root};

/// Runs a line in a shell, so that quotes have their usual meaning.
fn printed(command: &str) -> String {
    let (program, words) = command.split_once(' ').expect("a program and its arguments");
    let line = format!("{} {words}", support::example(program).display());
    let output = support::command("sh").args(["-c", &line]).output().expect("sh runs");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn every_documented_walk_and_comparison_is_what_the_examples_print() {
    assert_eq!(shown_and_printed("docs/walks.md"), 3, "two walks and a comparison");
    assert_eq!(shown_and_printed("docs/ambient.md"), 1, "a walk");
}

/// Compares what a page shows with what the examples print; returns how often.
fn shown_and_printed(page: &str) -> usize {
    let text = file(page);
    let blocks = text.split("```text\n").skip(1).filter_map(|rest| rest.split_once("```\n"));
    let mut shown = 0;
    for (block, _) in blocks {
        let commands = block.split("$ ").skip(1).filter_map(|part| part.split_once('\n'));
        for (command, output) in
            commands.filter(|(command, _)| command.starts_with("walk ") || command.starts_with("compare "))
        {
            support::assert_same(output, &printed(command), &format!("{page}: {command}"));
            shown += 1;
        }
    }
    shown
}

#[test]
fn the_first_readme_program_is_quickstart_and_prints_the_shown_output() {
    let readme = file("README.md");
    let (_, rest) = readme.split_once("```rust,no_run\n").expect("a program");
    let (program, rest) = rest.split_once("```\n").expect("its end");
    let (_, rest) = rest.split_once("```text\n").expect("its output");
    let (shown, _) = rest.split_once("```\n").expect("its end");
    let example = file("examples/quickstart.rs");
    let (_, code) = example.split_once("\n\n").expect("a comment comes first");
    assert_same(program, code, "README.md and examples/quickstart.rs");
    in_fresh_netns(|| assert_same(shown, &printed("quickstart "), "README.md: the output of the first program"));
}

#[test]
fn the_documented_installation_prints_the_shown_output() {
    if !needs_root() {
        return;
    }
    let page = file("docs/istio.md");
    let (_, rest) = page.split_once("$ istio-init ").expect("an installation");
    let (arguments, rest) = rest.split_once('\n').expect("its output");
    let (shown, _) = rest.split_once("```\n").expect("its end");
    in_fresh_netns(|| assert_same(shown, &printed(&format!("istio-init {arguments}")), "docs/istio.md: istio-init"));
}

#[test]
fn every_file_that_the_documentation_links_to_or_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).expect("it is there").map(|entry| entry.expect("readable").path());
    let pages = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|name| root.join(name));
    let folders = ["src/", "tests/", "examples/", "benches/", "scripts/", "docs/"];
    let mut found = 0;
    for page in pages.into_iter().chain(docs) {
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        let defined = text.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
        let links =
            links.chain(defined.map(|(_, link)| link)).filter(|link| !link.contains("://") && !link.starts_with('#'));
        let linked = links.map(|link| page.with_file_name(link.split('#').next().unwrap_or_default()));
        let words = text.split('`').skip(1).step_by(2);
        let names = words.filter(|word| folders.iter().any(|folder| word.starts_with(folder)));
        let named = names.filter(|name| !name.contains([' ', '*', '{', '<'])).map(|name| root.join(name));
        for file in linked.chain(named) {
            assert!(file.exists(), "{}: {} does not exist", page.display(), file.display());
            found += 1;
        }
    }
    assert!(found > 40, "{found}");
}

#[test]
fn a_program_older_than_its_sources_is_detected() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str, age: u64| {
        let path = dir.path().join(name);
        let file = File::create(&path).expect("may be written");
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("our own");
        path
    };
    let (old, new) = (at("old.rs", 3000), at("with a space.rs", 1000));
    let listed = |sources: &[&Path]| {
        let sources = sources.iter().map(|path| path.display().to_string().replace(' ', "\\ "));
        let line = format!("program: {}\n", sources.collect::<Vec<_>>().join(" "));
        fs::write(dir.path().join("program.d"), line).expect("may be written");
    };
    let program = at("program", 2000);
    assert_eq!(newer_source(&program), None, "nothing is known of its sources");
    listed(&[&old, &dir.path().join("gone.rs")]);
    assert_eq!(newer_source(&program), None);
    listed(&[&old, &new]);
    assert_eq!(newer_source(&program), Some(new));
}

#[test]
fn cargo_lists_the_sources_of_the_examples_that_the_tests_run() {
    let program = support::example("walk");
    let listed = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    if !program.with_extension("d").exists() {
        return support::say(format!("SKIP: {} was not built here", program.display()));
    }
    for source in ["examples/walk.rs", "src/sim/mod.rs"] {
        assert!(listed.contains(source), "{source} is not in {listed}");
    }
}

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
