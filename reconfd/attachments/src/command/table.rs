//! Formats the store as a table. Pure.

use std::fmt::Write as _;

use super::{Row, StoreListing};

const HEADS: [&str; 7] = [
    "POD",
    "INTERFACE",
    "NETWORK",
    "STATE",
    "CHANGED",
    "ID",
    "MESSAGE",
];

pub(super) fn of(listing: &StoreListing) -> String {
    let mut rows = vec![HEADS.map(ToOwned::to_owned)];
    rows.extend(listing.attachments.iter().map(cells));
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}", line.join("  ").trim_end());
    }
    text + &unreadable(listing)
}

fn cells(row: &Row) -> [String; 7] {
    [
        format!("{}/{}", row.pod.namespace, row.pod.name),
        row.interface.clone(),
        row.network.clone(),
        row.state.clone(),
        row.changed.clone().unwrap_or_default(),
        row.id.clone(),
        message(row),
    ]
    .map(|cell| cell.chars().filter(|c| !c.is_control()).collect())
}

/// Why it is deleted, and the newest error.
fn message(row: &Row) -> String {
    let Some(deletion) = &row.deletion else {
        return String::new();
    };
    match deletion.failures {
        0 => deletion.why.to_string(),
        failures => format!(
            "{}; failed {failures} times: {}",
            deletion.why, deletion.error
        ),
    }
}

/// Files that are left alone.
fn unreadable(listing: &StoreListing) -> String {
    if listing.unreadable.is_empty() {
        return String::new();
    }
    let files = listing.unreadable.iter();
    let lines: String = files
        .map(|file| format!("  {} {}\n", file.path.display(), file.problem))
        .collect();
    format!("\nLeft alone; what these files describe is not detached:\n{lines}")
}
