//! What README shows is what the commands print.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::fs;
use std::path::Path;

/// A shell runs the line, so that quotes mean what they mean to a reader.
fn printed(command: &str) -> String {
    let (program, words) = command.split_once(' ').expect("a program and its arguments");
    let line = format!("{} {words}", support::example(program).display());
    let output = support::command("sh").args(["-c", &line]).output().expect("sh runs");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn every_walk_and_comparison_of_the_readme_is_what_the_examples_print() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).expect("README.md is text");
    let blocks = readme.split("```text\n").skip(1).filter_map(|rest| rest.split_once("```\n"));
    let mut shown = 0;
    for (block, _) in blocks {
        let commands = block.split("$ ").skip(1).filter_map(|part| part.split_once('\n'));
        for (command, output) in
            commands.filter(|(command, _)| command.starts_with("walk ") || command.starts_with("compare "))
        {
            support::assert_same(output, &printed(command), &format!("README.md: {command}"));
            shown += 1;
        }
    }
    assert_eq!(shown, 3, "two walks and a comparison");
}
