//! Texts of a configuration that a message may not repeat. A tenant reads what a plugin answers, and an administrator's
//! definition may have passwords in it, which some plugins repeat in their errors.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde_json::{Map, Value};

use crate::{FrozenChain, judge};

/// Shorter texts occur in any message.
const SHORTEST: usize = 4;
const CONCEALED: &str = "…";
/// Keys whose values every message may have.
const SHOWN: [&str; 4] = ["type", "name", "capabilities", "dns"];

/// What a message of a chain may not contain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// The texts of all keys that no known plugin has for devices, addresses and the like.
    pub fn of(chain: &FrozenChain) -> Self {
        let mut secrets = Self::default();
        for plugin in &chain.plugins {
            secrets.add_plugin(&plugin.object);
        }
        // The longest first: it may contain another one.
        secrets.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
        secrets.0.dedup();
        secrets
    }

    /// The message without them.
    pub fn conceal(&self, message: &str) -> String {
        let mut message = message.to_owned();
        for secret in &self.0 {
            if message.contains(secret) {
                message = message.replace(secret, CONCEALED);
            }
        }
        let cut = self.0.iter().filter_map(|secret| cut(&message, secret));
        if let Some(end) = cut.min() {
            message.truncate(end);
            message.push_str(CONCEALED);
        }
        message
    }

    fn add_plugin(&mut self, object: &Map<String, Value>) {
        let plugin_type = text(object, "type");
        for (key, value) in object {
            match (key.as_str(), value) {
                ("ipam", Value::Object(ipam)) => self.add_ipam(ipam),
                _ if judge::is_public(plugin_type, key, false) => {}
                _ => self.add(value),
            }
        }
    }

    fn add_ipam(&mut self, ipam: &Map<String, Value>) {
        let plugin_type = text(ipam, "type");
        let hidden = ipam
            .iter()
            .filter(|(key, _)| !judge::is_public(plugin_type, key, true));
        hidden.for_each(|(_, value)| self.add(value));
    }

    /// Texts and long numbers, at any depth.
    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add_text(text),
            Value::Number(number) => self.add_text(&number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => {
                let hidden = members
                    .iter()
                    .filter(|(key, _)| !SHOWN.contains(&key.as_str()));
                hidden.for_each(|(_, value)| self.add(value));
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// A text of several lines, such as a key, may be repeated line by line; one with quotes, as JSON or Go quotes it.
    fn add_text(&mut self, text: &str) {
        for line in text.lines().map(str::trim) {
            if line.len() < SHORTEST || is_address(line) {
                continue;
            }
            let quoted = Value::from(line).to_string();
            let quoted = quoted.trim_matches('"');
            if quoted != line {
                self.0.push(quoted.to_owned());
            }
            self.0.push(line.to_owned());
        }
    }
}

/// Where the message ends with the beginning of a secret: it was cut there.
fn cut(message: &str, secret: &str) -> Option<usize> {
    let message = message.trim_end_matches(CONCEALED);
    let ends = secret.char_indices().map(|(end, _)| end);
    let longest = ends
        .rev()
        .find(|end| *end >= SHORTEST && message.ends_with(&secret[..*end]));
    longest.map(|length| message.len() - length)
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || text.parse::<IpNetwork>().is_ok()
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the value of a key may be in a message, where no plugin knows more about it.
pub(crate) fn is_shown(key: &str) -> bool {
    SHOWN.contains(&key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{AttachmentInput, NetworkConfig, Trust};

    fn secrets(configuration: &Value) -> Secrets {
        let config = NetworkConfig::parse(&configuration.to_string(), "net", Trust::Trusted);
        let input = AttachmentInput {
            container_id: "c".into(),
            ifname: "net1".into(),
            netns: "/run/netns/c".into(),
            ..AttachmentInput::default()
        };
        Secrets::of(&config.unwrap().freeze(input).unwrap())
    }

    #[test]
    fn attack_28_a_secret_of_the_configuration_is_not_repeated() {
        let secrets = secrets(&json!({
            "cniVersion": "1.0.0", "type": "vendor", "apiToken": "hunter2", "pin": 271_828,
            "tls": {"key": "-----BEGIN KEY-----\nMIIEabcdef\n-----END KEY-----"}, "quoted": "a\"b\\c",
            "ipam": {"type": "whereabouts", "etcd_password": "correct horse"},
        }));
        for msg in [
            "login with hunter2 refused",
            "pin 271828 is wrong",
            "bad line MIIEabcdef in the key",
            r#"cannot parse "a\"b\\c""#,
            r#"cannot parse a"b\c"#,
            "etcd: password correct horse",
        ] {
            let shown = secrets.conceal(msg);
            for secret in ["hunter2", "271828", "MIIE", "b\\", "horse"] {
                assert!(!shown.contains(secret), "{shown}");
            }
            assert!(shown.contains('…'), "{shown}");
        }
    }

    #[test]
    fn attack_28_the_beginning_of_a_secret_at_a_cut_is_not_shown() {
        let secrets =
            secrets(&json!({"cniVersion": "1.0.0", "type": "vendor", "x": "correct horse"}));
        assert_eq!(secrets.conceal("the key is correct ho…"), "the key is …");
        assert_eq!(secrets.conceal("all is corr"), "all is …");
        assert_eq!(secrets.conceal("all is cor"), "all is cor");
    }

    #[test]
    fn devices_addresses_and_types_are_shown() {
        let secrets = secrets(&json!({
            "cniVersion": "1.0.0", "plugins": [
                {"type": "macvlan", "master": "trunk0",
                 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]], "dataDir": "/var/lib/x"}},
                {"type": "vendor", "gateway": "10.77.0.1", "range": "10.77.0.0/24"},
            ],
        }));
        let msg = "macvlan, host-local, vendor: no trunk0, 10.77.0.0/24 is full, gateway 10.77.0.1";
        assert_eq!(secrets.conceal(msg), msg);
    }
}
