//! Edits a conf file as text: finds, inserts and removes our entry. Pure; all other bytes stay unchanged.

use std::ops::Range;

use cni_plugin::{PLUGIN_TYPE, SUPPORTED_VERSIONS};
use sandbox_record::json::Members;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::entry::{CopyMark, Entry};
use crate::error::{InstallError, InstallErrorKind};

/// The space that JSON allows between its tokens.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// A plugin list that a runtime would load and that the entry can join.
#[derive(Debug)]
pub struct Chain<'a> {
    text: &'a str,
    pub network: String,
    pub reads_drop_ins: bool,
    plugins: Vec<Plugin>,
}

#[derive(Debug)]
struct Plugin {
    kind: String,
    span: Range<usize>,
    mark: Option<CopyMark>,
}

impl<'a> Chain<'a> {
    /// Parses a plugin list that the entry may join; the error names the problem without the file.
    pub fn to_join(text: &'a str) -> Result<Chain<'a>, InstallError> {
        let members = object(text)?;
        judge_name(&members)?;
        judge_versions(&members)?;
        Chain::parse(text)
    }

    /// Parses any plugin list, without the checks for joining it.
    pub fn parse(text: &'a str) -> Result<Chain<'a>, InstallError> {
        let members = object(text)?;
        let network = members.string("name").ok().flatten().unwrap_or_default();
        let plugins = plugins(text, &members)?;
        if plugins.iter().all(|plugin| plugin.kind == PLUGIN_TYPE) {
            return Err(InstallError::refused(
                "it holds no plugin that makes a pod's network, so there is none to follow",
            ));
        }
        let inlined_only = members.value("loadOnlyInlinedPlugins");
        let reads_drop_ins =
            inlined_only.is_none_or(|flag| matches!(flag.get(), "false" | "\"false\""));
        Ok(Chain {
            text,
            network: network.into_owned(),
            reads_drop_ins,
            plugins,
        })
    }

    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The primary plugin, which creates the pod's network and whose owner writes the file.
    pub fn primary(&self) -> &str {
        let first = self
            .plugins
            .iter()
            .find(|plugin| plugin.kind != PLUGIN_TYPE);
        first.map_or("", |plugin| &plugin.kind)
    }

    pub fn has_ours(&self) -> bool {
        self.plugins.iter().any(|plugin| plugin.kind == PLUGIN_TYPE)
    }

    /// The copy mark in our entry: of which file this one is a copy.
    pub fn copy_mark(&self) -> Option<&CopyMark> {
        let mut ours = self
            .plugins
            .iter()
            .filter(|plugin| plugin.kind == PLUGIN_TYPE);
        ours.find_map(|plugin| plugin.mark.as_ref())
    }

    /// The plugins beside ours, each with its type and its text.
    pub fn others(&self) -> impl Iterator<Item = (&str, &'a str)> {
        let others = self
            .plugins
            .iter()
            .filter(|plugin| plugin.kind != PLUGIN_TYPE);
        others.map(|plugin| (plugin.kind.as_str(), &self.text[plugin.span.clone()]))
    }

    /// The text with one more plugin at the end.
    pub fn and(&self, plugin: &str) -> String {
        let last = self.plugins.len() - 1;
        let end = self.plugins[last].span.end;
        self.spliced(end..end, &format!(",{}{plugin}", self.margin(last)))
    }

    /// The text with our entry exactly once; `None` if it is so already.
    pub fn with(&self, entry: &Entry) -> Option<String> {
        let ours: Vec<_> = self.places().collect();
        match ours.as_slice() {
            [] => Some(self.append(entry)),
            // Before the first other plugin there is no result to pass on.
            [place] if *place > 0 => {
                let span = self.plugins[*place].span.clone();
                let same = entry.is_equal_to(&self.text[span.clone()]);
                (!same).then(|| self.spliced(span, &self.written(*place, entry)))
            }
            _ => {
                let bare = self.without();
                Chain::parse(&bare).ok().map(|chain| chain.append(entry))
            }
        }
    }

    /// The text without any entry of ours.
    pub fn without(&self) -> String {
        let mut text = self.text.to_owned();
        let lead = self
            .plugins
            .iter()
            .take_while(|plugin| plugin.kind == PLUGIN_TYPE)
            .count();
        for place in self
            .places()
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .filter(|place| *place >= lead)
        {
            text.replace_range(
                self.plugins[place - 1].span.end..self.plugins[place].span.end,
                "",
            );
        }
        if lead > 0 {
            text.replace_range(
                self.plugins[0].span.start..self.plugins[lead].span.start,
                "",
            );
        }
        text
    }

    fn places(&self) -> impl Iterator<Item = usize> {
        let plugins = self.plugins.iter().enumerate();
        plugins
            .filter(|(_, plugin)| plugin.kind == PLUGIN_TYPE)
            .map(|(place, _)| place)
    }

    fn append(&self, entry: &Entry) -> String {
        self.and(&self.written(self.plugins.len() - 1, entry))
    }

    fn spliced(&self, span: Range<usize>, between: &str) -> String {
        format!(
            "{}{between}{}",
            &self.text[..span.start],
            &self.text[span.end..]
        )
    }

    /// The whitespace before a plugin.
    fn margin(&self, place: usize) -> &'a str {
        let before = &self.text[..self.plugins[place].span.start];
        &before[before.trim_end_matches(SPACE).len()..]
    }

    /// The entry, formatted like the plugin at that place.
    fn written(&self, place: usize, entry: &Entry) -> String {
        match self.margin(place).rsplit_once('\n') {
            None => entry.on_one_line(),
            Some((before, margin)) if before.ends_with('\r') => entry.on_lines("\r\n", margin),
            Some((_, margin)) => entry.on_lines("\n", margin),
        }
    }
}

/// The list that libcni makes of a single-plugin file, with name and version moved to the top level.
pub fn wrapped(text: &str) -> Result<String, InstallError> {
    let members = object(text)?;
    if members.get("plugins").is_some() {
        return Err(InstallError::refused(
            "it holds a list of plugins, which belongs into a .conflist",
        ));
    }
    let is_moved = |key: &str| key == "name" || key == "cniVersion";
    let raw = |key: &str| members.get(key).map_or("null", RawValue::get);
    let inner: Vec<String> = members
        .iter()
        .filter(|(key, _)| !is_moved(key))
        .map(|(key, value)| format!("{}: {}", serde_json::Value::from(key), value.get()))
        .collect();
    Ok(format!(
        "{{\n  \"cniVersion\": {},\n  \"name\": {},\n  \"plugins\": [\n    {{{}}}\n  ]\n}}\n",
        raw("cniVersion"),
        raw("name"),
        inner.join(", ")
    ))
}

/// The network's name if a runtime that skips invalid files would load this one. Less strict than the rules
/// for joining it: a file that the runtime accepts must not be skipped.
pub fn loadable(text: &str, is_list: bool) -> Option<String> {
    let members = Members::parse(text.as_bytes()).ok()?;
    let has_type = |members: &Members<'_>| kind(members).is_ok();
    let loads = if is_list {
        let plugins: Vec<Members<'_>> =
            serde_json::from_str(members.value("plugins")?.get()).ok()?;
        !plugins.is_empty() && plugins.iter().all(has_type)
    } else {
        has_type(&members)
    };
    let name = members.string("name").ok()?.unwrap_or_default();
    loads.then(|| name.into_owned())
}

/// Whether the text is our plugin object alone, as in a drop-in file.
pub fn is_our_plugin(text: &str) -> bool {
    let kind = Members::parse(text.as_bytes()).map(|members| kind(&members));
    kind.is_ok_and(|kind| kind.is_ok_and(|kind| kind == PLUGIN_TYPE))
}

fn object(text: &str) -> Result<Members<'_>, InstallError> {
    let members = Members::parse(text.as_bytes()).map_err(|error| match error.classify() {
        Category::Syntax | Category::Eof => InstallError::new(
            InstallErrorKind::Unsettled,
            format!("it is not JSON, or half-written ({error})"),
        ),
        Category::Data | Category::Io => {
            InstallError::refused(format!("it is not what a runtime expects ({error})"))
        }
    })?;
    match members.repeated() {
        Some(key) => Err(InstallError::refused(format!(
            "it has the key {key:?} twice, and readers differ in which one counts"
        ))),
        None => Ok(members),
    }
}

fn judge_name(members: &Members<'_>) -> Result<(), InstallError> {
    let name = members.string("name").map_err(InstallError::refused)?;
    let name = name.ok_or_else(|| InstallError::refused("it has no name"))?;
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    if !starts_well || !name.chars().all(plain) || name.len() > 255 {
        return Err(InstallError::refused(format!(
            "its name {name:?} is not one that CNI allows"
        )));
    }
    Ok(())
}

/// The plugin must support every version that a runtime may choose: it refuses the others at ADD.
fn judge_versions(members: &Members<'_>) -> Result<(), InstallError> {
    let single = members
        .string("cniVersion")
        .map_err(InstallError::refused)?;
    let listed: Vec<String> = match members.value("cniVersions") {
        None => Vec::new(),
        Some(list) => serde_json::from_str(list.get()).map_err(|error| {
            InstallError::refused(format!(
                "its cniVersions is not a list of strings ({error})"
            ))
        })?,
    };
    if single.is_none() && listed.is_empty() {
        return Err(InstallError::refused(
            "it has no cniVersion, which means 0.1.0, and chains begin with 0.3.0",
        ));
    }
    let mut named = single
        .as_deref()
        .into_iter()
        .chain(listed.iter().map(String::as_str));
    match named.find(|version| !SUPPORTED_VERSIONS.contains(version)) {
        None => Ok(()),
        Some(version) => Err(InstallError::refused(format!(
            "its cniVersion {version:?} is not supported by {PLUGIN_TYPE} ({})",
            SUPPORTED_VERSIONS.join(", ")
        ))),
    }
}

fn plugins(text: &str, members: &Members<'_>) -> Result<Vec<Plugin>, InstallError> {
    let list = members
        .get("plugins")
        .ok_or_else(|| InstallError::refused("it has no plugins"))?;
    let list: Vec<&RawValue> = serde_json::from_str(list.get())
        .map_err(|error| InstallError::refused(format!("its plugins is not a list ({error})")))?;
    if list.is_empty() {
        return Err(InstallError::refused("its list of plugins is empty"));
    }
    list.into_iter()
        .enumerate()
        .map(|(place, raw)| plugin(text, place, raw))
        .collect()
}

fn plugin(text: &str, place: usize, raw: &RawValue) -> Result<Plugin, InstallError> {
    let odd = |what: String| InstallError::refused(format!("its plugin {place} is odd: {what}"));
    let members = Members::parse(raw.get().as_bytes()).map_err(|error| odd(error.to_string()))?;
    let kind = kind(&members).map_err(odd)?;
    let mark = serde_json::from_str(raw.get()).ok();
    // The raw value is a slice of the text, so its offset is the distance of the two pointers.
    let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
    Ok(Plugin {
        kind,
        span: start..start + raw.get().len(),
        mark,
    })
}

fn kind(members: &Members<'_>) -> Result<String, String> {
    match members.string("type")? {
        Some(kind) if !kind.is_empty() => Ok(kind.into_owned()),
        _ => Err("it has no type".to_owned()),
    }
}
