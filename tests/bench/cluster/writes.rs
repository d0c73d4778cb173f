//! What podconfig's accounts have written, from the API server's audit log.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    thread::sleep,
    time::Duration,
};

use anyhow::Result;
use serde_json::Value;

use super::daemon;

/// Status and Events are coalesced over a second; behind that nothing comes any more.
pub const LATE: Duration = Duration::from_millis(2500);

/// From a moment on.
pub struct Writes {
    log: File,
}

/// How many of each: `daemon: patch podreports`.
pub type Counts = BTreeMap<String, usize>;

impl Writes {
    pub fn from_now() -> Result<Self> {
        let mut log = File::open(daemon::state()?.join("log/audit.log"))?;
        log.seek(SeekFrom::End(0))?;
        Ok(Self { log })
    }

    /// All of them, also those that come late.
    pub fn count(self) -> Result<Counts> {
        sleep(LATE);
        let mut counts = Counts::new();
        for line in BufReader::new(self.log).lines() {
            let event: Value = serde_json::from_str(&line?)?;
            *counts.entry(kind_of(&event)).or_default() += 1;
        }
        Ok(counts)
    }
}

fn kind_of(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reference = &event["objectRef"];
    let user = text(&event["user"]["username"]);
    let who = user.rsplit(['-', ':']).next().unwrap_or_default();
    let mut what = text(&reference["resource"]);
    if let Some(part) = reference["subresource"].as_str() {
        what = format!("{what}/{part}");
    }
    // An Event's own object is what counts; a patch of one says it in its name: OBJECT.HASH.
    if what == "events" {
        let about = text(&event["requestObject"]["regarding"]["kind"]);
        what = format!(
            "events on {}",
            if about.is_empty() {
                "what they were about"
            } else {
                &about
            }
        );
    }
    format!("{who}: {what}")
}

/// Of all kinds whose name has every one of these words.
pub fn of(counts: &Counts, words: &[&str]) -> usize {
    let fits = |name: &str| words.iter().all(|word| name.contains(word));
    counts
        .iter()
        .filter(|(name, _)| fits(name))
        .map(|(_, count)| count)
        .sum()
}
