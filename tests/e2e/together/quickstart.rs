//! The README's quick start, command by command, as a new user runs it.

use std::{fs, path::Path, process::Command};

/// The lines of the code blocks of the section.
fn commands(readme: &str) -> Vec<String> {
    let sections = readme.split("\n## ");
    let mut section = sections.filter(|part| part.starts_with("Quick start on a cluster"));
    let section = section.next().expect("the README has a quick start");
    let blocks = section.split("\n```\n").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines).map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn the_quick_start_works_word_by_word() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(top.join("README.md")).expect("there is a README");
    let commands = commands(&readme);
    assert!(commands.len() > 10, "{commands:?}");
    let mut said = String::new();
    for command in &commands {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&top);
        let output = shell.output().expect("there is a shell");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        said += &format!("$ {command}\n{text}");
        assert!(output.status.success(), "{said}");
    }
    // The results that a new user checks.
    for sight in [
        "podconfig.podconfig.dev/cnf-0 condition met",
        "192.168.100.10/24",
        "1 packets received",
        "LinkAdded",
        "bridges: Own",
    ] {
        assert!(said.contains(sight), "no {sight} in:\n{said}");
    }
}
