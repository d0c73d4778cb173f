//! The generated pages in `docs/reference`: flags, metrics and the API, as the code defines them.
//! `make docs` writes them: it runs this test with UPDATE=1. Without it, a stale page fails the test.
#![allow(clippy::unwrap_used, clippy::panic)]

/// The API reference, from the definitions.
#[path = "reference/api.rs"]
mod api;
/// The flags of every program, from the command lines.
#[path = "reference/flags.rs"]
mod flags;
/// The metrics of daemon and controller, from the registries.
#[path = "reference/metrics.rs"]
mod metrics;

use std::{fs, path::Path};

const HEAD: &str = "<!-- Made from the code by `make docs`; an edit here is lost. -->\n\n";

#[test]
fn flags_page_is_current() {
    compare("flags.md", &flags::page());
}

#[test]
fn metrics_page_is_current() {
    compare("metrics.md", &metrics::page());
}

#[test]
fn api_page_is_current() {
    compare("api.md", &api::page());
}

fn compare(name: &str, page: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let (path, page) = (folder.join(name), format!("{HEAD}{page}"));
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let present = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        present == page,
        "docs/reference/{name} is stale: run `make docs` and commit what it writes"
    );
}

/// One row of a Markdown table.
fn row(cells: &[&str]) -> String {
    let cells = cells.iter().map(|cell| escaped(cell));
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// The first rows of a table.
fn table(columns: &[&str]) -> String {
    format!("{}|{}\n", row(columns), "---|".repeat(columns.len()))
}

fn escaped(cell: &str) -> String {
    let line = cell.split_whitespace().collect::<Vec<_>>().join(" ");
    // A pipe ends a cell even in code style; angle brackets are HTML outside of it.
    let parts = line.replace('|', "\\|");
    let mut outside = true;
    let parts = parts.split('`').map(|part| {
        let text = if outside {
            part.replace('<', "&lt;")
        } else {
            part.to_owned()
        };
        outside = !outside;
        text
    });
    parts.collect::<Vec<_>>().join("`")
}

/// The text in code style; nothing for no text.
fn code(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!("`{text}`"),
    }
}
