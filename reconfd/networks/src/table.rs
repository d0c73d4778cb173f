//! Formats a snapshot as a table. Pure.

use std::fmt::Write as _;

use crds::reserved::{ReadState, ReservedNetwork};

use super::Snapshot;

const HEADS: [&str; 7] = [
    "PREFIX", "USE", "SOURCE", "KIND", "OBJECT", "FIELD", "SINCE",
];

pub fn of(snapshot: &Snapshot) -> String {
    let mut rows = vec![HEADS.map(ToOwned::to_owned)];
    rows.extend(snapshot.networks.iter().map(row));
    let mut text = String::new();
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}", line.join("  ").trim_end());
    }
    text + &unknown(snapshot)
}

fn row(network: &ReservedNetwork) -> [String; 7] {
    let ReservedNetwork {
        prefix,
        usage,
        source,
        kind,
        object,
        field,
        since,
    } = network;
    let since = since.as_ref().map(|since| since.0.to_string());
    [
        prefix.to_string(),
        format!("{usage:?}"),
        source.to_string(),
        kind.clone(),
        object.clone(),
        field.clone(),
        since.unwrap_or_default(),
    ]
    .map(|cell| cell.chars().filter(|c| !c.is_control()).collect())
}

/// The sources that could not be read.
fn unknown(snapshot: &Snapshot) -> String {
    let sources = snapshot.sources.iter();
    let sources = sources.filter(|source| source.state == ReadState::Unknown);
    let mut lines: Vec<String> = sources
        .map(|source| format!("{}: {}", source.asked, source.message))
        .collect();
    // What is unknown on this node is not a source of the cluster.
    let other = snapshot.unknown.iter();
    lines.extend(
        other
            .filter(|why| {
                !snapshot
                    .sources
                    .iter()
                    .any(|source| why.contains(&source.asked))
            })
            .cloned(),
    );
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("\nUnknown; no new address is given out:\n{lines}")
}
