//! What reading a wish and writing a report cost by themselves: in the daemon's sum they are inside,
//! to the floor's they are added.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context, Result, anyhow};
use crds::PodConfig;
use manifests::schema::Schema;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::Value;

use crate::{
    cost::{Cost, Whose},
    node::{NAMESPACE, REPORTS},
};

/// From the text of a manifest to objects that may be used.
pub fn parse(text: &str) -> Result<Cost> {
    let schema = Schema::for_kind("PodConfig").context("PodConfig has a schema")?;
    let (cost, _) = Whose::Thread.cost(|| {
        text.split("---\n")
            .filter(|document| !document.trim().is_empty())
            .map(|document| admit(schema, document))
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(cost)
}

fn admit(schema: &Schema, document: &str) -> Result<PodConfig> {
    let value: Value = serde_saphyr::from_str(document)?;
    let value = schema
        .admit(value)
        .map_err(|faults| anyhow!("{faults:?}"))?;
    Ok(serde_json::from_value(value)?)
}

/// The reports of these pods and PodConfigs, as the daemon wrote them.
pub fn reports<'a>(
    pods: impl Iterator<Item = &'a str>,
    configs: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>> {
    let folder = Path::new(REPORTS).join(NAMESPACE);
    let of_pods = pods.map(|name| format!("podreport-{name}.yaml"));
    let of_configs = configs.map(|name| format!("podconfig-{name}.yaml"));
    of_pods
        .chain(of_configs)
        .map(|file| fs::read_to_string(folder.join(&file)).with_context(|| file))
        .collect()
}

/// Hears of reports the moment they are written.
pub struct Told(Inotify);

impl Told {
    pub fn new() -> Result<Self> {
        let folder = Path::new(REPORTS).join(NAMESPACE);
        fs::create_dir_all(&folder)?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(&folder, AddWatchFlags::IN_MOVED_TO)?;
        Ok(Self(inotify))
    }

    /// Waits for the status of a PodConfig, which is written behind the reports of its pods.
    pub fn until(&self, name: &str) -> Result<Instant> {
        let file = format!("podconfig-{name}.yaml");
        loop {
            let events = self.0.read_events()?;
            let mut names = events.iter().filter_map(|event| event.name.as_deref());
            if names.any(|name| name == file.as_str()) {
                return Ok(Instant::now());
            }
        }
    }
}

/// Puts each into words, as values, and writes it under a temporary name and renames it.
pub fn write(texts: &[String]) -> Result<Cost> {
    let folder = Path::new("/run/paper");
    fs::create_dir_all(folder)?;
    let values = texts.iter().map(|text| serde_saphyr::from_str(text));
    let values: Vec<Value> = values.collect::<Result<_, _>>()?;
    let (cost, ()) = Whose::Thread.cost(|| {
        for (number, value) in values.iter().enumerate() {
            let unfinished = folder.join(format!(".{number}"));
            fs::write(&unfinished, serde_saphyr::to_string(value)?)?;
            fs::rename(&unfinished, folder.join(number.to_string()))?;
        }
        Ok(())
    })?;
    Ok(cost)
}
