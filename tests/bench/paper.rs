//! What reading a wish and writing a report cost by themselves: in the daemon's sum they are inside,
//! to the floor's they are added.

use std::{fs, path::Path};

use anyhow::{Context, Result, anyhow};
use crds::PodConfig;
use reconfd::source::schema::Schema;
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

/// The reports of pods and PodConfigs by these names, as the daemon wrote them.
pub fn reports<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let folder = Path::new(REPORTS).join(NAMESPACE);
    let files = names.flat_map(|name| {
        [
            format!("podreport-{name}.yaml"),
            format!("podconfig-{name}.yaml"),
        ]
    });
    files
        .map(|file| fs::read_to_string(folder.join(&file)).with_context(|| file))
        .collect()
}

/// Writes each under a temporary name and renames it.
pub fn write(texts: &[String]) -> Result<Cost> {
    let folder = Path::new("/run/paper");
    fs::create_dir_all(folder)?;
    let (cost, ()) = Whose::Thread.cost(|| {
        for (number, text) in texts.iter().enumerate() {
            let (unfinished, name) = (
                folder.join(format!(".{number}")),
                folder.join(number.to_string()),
            );
            fs::write(&unfinished, text)?;
            fs::rename(&unfinished, &name)?;
        }
        Ok(())
    })?;
    Ok(cost)
}
