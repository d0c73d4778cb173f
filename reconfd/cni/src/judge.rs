//! Whether a tenant's configuration may run. Each key of a known plugin is either harmless in bounds, or needs a rule
//! that lists its value, or is never a tenant's; a plugin that is not known here is an administrator's alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::NetworkConfig;

mod known;
mod shape;

use known::{Key, KnownType, Role};
use shape::Shape;

/// What a rule allows of one type of plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginRule {
    pub plugin_type: String,
    /// The values of a key that are allowed: a text as it is, anything else as JSON, and integers also as `100-199`.
    /// Of an object in the configuration the key is `sysctl.net.ipv4.conf.all.arp_filter`.
    pub keys: BTreeMap<String, Vec<String>>,
}

/// What a tenant's configuration is held against.
#[derive(Clone, Copy, Debug, Default)]
pub struct TenantRules<'a> {
    /// Of one rule of a policy. Of several entries for a type one must allow all keys of a plugin.
    pub plugins: &'a [PluginRule],
    /// Types in the node's own chain.
    pub denied_types: &'a [String],
    /// Names in the node's folder of configurations, and those of trusted definitions.
    pub denied_networks: &'a [String],
}

/// A part of a configuration that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Objection {
    /// As `plugins[0].ipam.dataDir`.
    pub path: String,
    pub problem: String,
}

/// Never by tenants, whatever a rule says: each of them executes what its configuration says, or is podconfig's.
const DENIED_TYPES: [&str; 5] = [
    "multus",
    "multus-shim",
    "flannel",
    "podconfig-cni",
    "loopback",
];

/// What is not allowed of a tenant's configuration. It may run if there is nothing.
pub fn objections(config: &NetworkConfig, rules: TenantRules<'_>) -> Vec<Objection> {
    let mut objections = vec![];
    if rules.denied_networks.contains(&config.network) {
        objections.push(Objection {
            path: "name".to_owned(),
            problem: format!(
                "{} is a network of the node or of an administrator",
                config.network
            ),
        });
    }
    for (index, plugin) in config.plugins.iter().enumerate() {
        objections.extend(rules.object_to(plugin, &config.path(index), Role::Interface));
    }
    objections
}

/// What is not allowed of a tenant's `cni-args`: they reach each plugin, also those of a trusted definition.
pub fn argument_objections(arguments: &Map<String, Value>, allowed: &[String]) -> Vec<Objection> {
    let outside = arguments.keys().filter(|key| !allowed.contains(key));
    outside
        .map(|key| Objection {
            path: format!("cni-args.{}", crate::json::shown(key)),
            problem: format!(
                "a rule must list {:?} under cniArgs",
                crate::json::shown(key)
            ),
        })
        .collect()
}

/// Whether the value of a plugin's key is no secret: a device, an address, a switch.
pub(crate) fn is_public(plugin_type: &str, key: &str, is_ipam: bool) -> bool {
    let role = match is_ipam {
        true => Role::Ipam,
        false => Role::Interface,
    };
    let known = known::find(plugin_type, role).and_then(|known| known.key(key));
    matches!(known, Some(Key::Harmless(_) | Key::Listed)) || crate::secrets::is_shown(key)
}

impl TenantRules<'_> {
    /// What is not allowed of the object of a plugin, whose path ends in a dot.
    fn object_to(&self, object: &Map<String, Value>, path: &str, role: Role) -> Vec<Objection> {
        let plugin_type = object
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let known = match self.known(plugin_type, role) {
            Ok(known) => known,
            Err(problem) => return vec![objection(path, "type", problem)],
        };
        let entries = self
            .plugins
            .iter()
            .filter(|rule| rule.plugin_type == plugin_type);
        let judged = entries.map(|rule| PluginCheck { rule, known, path }.check(object));
        // The entry with the fewest objections says the most about what is missing.
        let mut objections = judged.min_by_key(Vec::len).unwrap_or_default();
        if let Some(ipam) = object.get("ipam").filter(|_| role == Role::Interface) {
            objections.extend(self.object_to_ipam(ipam, path));
        }
        objections
    }

    fn object_to_ipam(&self, ipam: &Value, path: &str) -> Vec<Objection> {
        match ipam {
            Value::Null => vec![],
            Value::Object(ipam) if ipam.is_empty() => vec![],
            Value::Object(ipam) => self.object_to(ipam, &format!("{path}ipam."), Role::Ipam),
            _ => vec![objection(path, "ipam", "must be an object".to_owned())],
        }
    }

    fn known(&self, plugin_type: &str, role: Role) -> Result<&'static KnownType, String> {
        let denied = DENIED_TYPES.contains(&plugin_type)
            || self.denied_types.iter().any(|denied| denied == plugin_type);
        if denied {
            return Err(format!("{plugin_type} is never a tenant's"));
        }
        let known = known::find(plugin_type, role)
            .ok_or_else(|| format!("{plugin_type:?} is only possible in a trusted definition"))?;
        match self
            .plugins
            .iter()
            .any(|rule| rule.plugin_type == plugin_type)
        {
            true => Ok(known),
            false => Err(format!("a rule must list the plugin {plugin_type}")),
        }
    }
}

/// One plugin of a configuration against one entry of a rule.
struct PluginCheck<'a> {
    rule: &'a PluginRule,
    known: &'static KnownType,
    path: &'a str,
}

impl PluginCheck<'_> {
    fn check(&self, object: &Map<String, Value>) -> Vec<Objection> {
        let missing = self
            .known
            .required
            .iter()
            .filter(|key| is_absent(object, key));
        let missing = missing.map(|key| {
            objection(
                self.path,
                key,
                "must be said: without it the node decides".to_owned(),
            )
        });
        let present = object.iter().filter_map(|(key, value)| {
            let problem = self.problem(key, value)?;
            Some(objection(self.path, key, problem))
        });
        missing.chain(present).chain(self.unsaid(object)).collect()
    }

    /// Why a key may not have a value.
    fn problem(&self, key: &str, value: &Value) -> Option<String> {
        let role_key = key == "type" || (key == "ipam" && self.known.role == Role::Interface);
        if role_key || value.is_null() {
            return None;
        }
        let Some(kind) = self.known.key(key) else {
            return Some(format!(
                "{} has no such key that a tenant may use",
                self.known.name
            ));
        };
        match kind {
            Key::Never => Some("is never a tenant's".to_owned()),
            Key::Listed => self.unlisted(key, value),
            Key::Harmless(shape) => {
                let is_narrowed = shape.narrows() && self.rule.keys.contains_key(key);
                let is_harmless = shape.matches(value) && !is_narrowed;
                (!is_harmless).then(|| self.unlisted(key, value)).flatten()
            }
        }
    }

    /// A key with a default that a rule narrows is judged by its default.
    fn unsaid<'a>(
        &'a self,
        object: &'a Map<String, Value>,
    ) -> impl Iterator<Item = Objection> + 'a {
        let defaults = self.known.keys.iter().filter_map(|(key, kind)| match kind {
            Key::Harmless(Shape::OneOf([default, ..])) => Some((*key, *default)),
            _ => None,
        });
        let narrowed =
            defaults.filter(|(key, _)| is_absent(object, key) && self.rule.keys.contains_key(*key));
        narrowed.filter_map(|(key, default)| {
            let problem = self.unlisted(key, &Value::from(default))?;
            Some(objection(self.path, key, problem))
        })
    }

    /// What of a value the rule does not list.
    fn unlisted(&self, key: &str, value: &Value) -> Option<String> {
        match value {
            Value::Array(items) => items.iter().find_map(|item| match item {
                Value::Array(_) | Value::Object(_) => Some(self.unlistable()),
                _ => self.unlisted(key, item),
            }),
            Value::Object(members) => members.iter().find_map(|(member, value)| match value {
                Value::Array(_) | Value::Object(_) => Some(self.unlistable()),
                _ => self.unlisted(&format!("{key}.{member}"), value),
            }),
            _ => (!self.lists(key, value)).then(|| {
                let key = crate::json::shown(key);
                format!(
                    "a rule for {} must list {} under keys.{key}",
                    self.known.name,
                    shown(value)
                )
            }),
        }
    }

    fn unlistable(&self) -> String {
        format!(
            "{} may have such a value only in a trusted definition",
            self.known.name
        )
    }

    fn lists(&self, key: &str, value: &Value) -> bool {
        let listed = self
            .rule
            .keys
            .get(key)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        listed
            .iter()
            .any(|allowed| text == *allowed || is_in_range(value, allowed))
    }
}

fn is_absent(object: &Map<String, Value>, key: &str) -> bool {
    match object.get(key) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        Some(_) => false,
    }
}

/// Whether an integer is within `100-199`.
fn is_in_range(value: &Value, range: &str) -> bool {
    let bounds = range.split_once('-').and_then(|(first, last)| {
        let bound = |text: &str| text.trim().parse::<u64>().ok();
        Some(bound(first)?..=bound(last)?)
    });
    match (value.as_u64(), bounds) {
        (Some(number), Some(bounds)) => bounds.contains(&number),
        _ => false,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", crate::json::shown(text)),
        _ => value.to_string(),
    }
}

fn objection(path: &str, key: &str, problem: String) -> Objection {
    let key = crate::json::shown(key);
    Objection {
        path: format!("{path}{}", key.escape_debug()),
        problem,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
