//! Pure: checks a cni link against one rule, as far as the link alone says what it is. Its configuration is judged
//! where it is known, by what the rule grants here.

use super::{
    clipped,
    device_rules::{Objections, span},
    escaped, not_among,
    requested::CniSource,
};
use crds::{
    Cidr,
    podconfig::{Cni, cni::PortMapping},
    policy::{CniRule, Inline, Macs, PluginRule, PortRange, Rule},
};

/// What one rule permits an attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachmentGrant {
    /// Whether the configuration is believed as it is written.
    pub trusted: bool,
    /// What a configuration that is not trusted may name.
    pub plugins: Vec<PluginRule>,
    /// Networks that must contain every address of the result.
    pub addresses: Vec<Cidr>,
    /// Networks that must contain the destination of every route of the result.
    pub routes: Vec<Cidr>,
    /// Whether any hardware address may be asked for: `macs: Any`.
    pub any_mac: bool,
}

impl AttachmentGrant {
    pub(super) fn of(source: CniSource<'_>, namespace: &str, rule: &Rule) -> Option<Self> {
        let cni = rule.cni.as_ref()?;
        Some(Self {
            trusted: is_trusted(source, namespace, cni),
            plugins: cni.plugins.clone(),
            addresses: rule.addresses.clone(),
            routes: rule.routes.clone(),
            any_mac: rule.macs == Some(Macs::Any),
        })
    }

    /// Whether one of these rules believes the configuration as it is written.
    pub fn any_trusted(grants: &[Self]) -> bool {
        grants.iter().any(|grant| grant.trusted)
    }
}

pub(super) fn against_cni(
    cni: &Cni,
    source: CniSource<'_>,
    namespace: &str,
    rule: Option<&CniRule>,
) -> Objections {
    let Some(rule) = rule else {
        let missing = "cni needs a rule with cni, which is not there".to_owned();
        return (2, vec![missing]);
    };
    let source = against_source(source, namespace, rule);
    let off_place = u8::from(source.is_some());
    let args = cni.args.keys().filter(|key| !rule.cni_args.contains(key));
    let args = args.map(|key| {
        let among = not_among(&rule.cni_args, escaped);
        format!("cni.args {} {among}", clipped(key))
    });
    let ports = cni.port_mappings.iter();
    let ports = ports.filter_map(|mapping| against_port(mapping, &rule.host_ports));
    (
        off_place,
        source.into_iter().chain(args).chain(ports).collect(),
    )
}

fn is_trusted(source: CniSource<'_>, namespace: &str, rule: &CniRule) -> bool {
    match source {
        CniSource::Definition {
            namespace: of,
            name,
        } => rule.trusts(of.unwrap_or(namespace), name),
        CniSource::Inline(_) => false,
    }
}

fn against_source(source: CniSource<'_>, namespace: &str, rule: &CniRule) -> Option<String> {
    if is_trusted(source, namespace, rule) {
        return None;
    }
    match source {
        CniSource::Inline(_)
            if rule.inline == Some(Inline::Allowed) && !rule.plugins.is_empty() =>
        {
            None
        }
        CniSource::Inline(_) => {
            Some("cni.config needs inline: Allowed, which is not there".to_owned())
        }
        CniSource::Definition { namespace: of, .. }
            if of.unwrap_or(namespace) == namespace && !rule.plugins.is_empty() =>
        {
            None
        }
        CniSource::Definition {
            namespace: of,
            name,
        } => {
            let definition = format!("{}/{name}", of.unwrap_or(namespace));
            let definitions = rule.definitions.iter().flat_map(|rule| {
                let names = rule.names.iter();
                names.map(|name| format!("{}/{name}", rule.namespace))
            });
            let definitions: Vec<String> = definitions.collect();
            Some(format!(
                "cni.networkAttachmentDefinition {} {}",
                clipped(&definition),
                not_among(&definitions, escaped)
            ))
        }
    }
}

fn against_port(mapping: &PortMapping, allowed: &[PortRange]) -> Option<String> {
    let port = mapping.host_port;
    let spell = |range: &PortRange| span(range.min, range.max);
    (!allowed.iter().any(|range| range.holds(port))).then(|| {
        format!(
            "cni.portMappings hostPort {port} {}",
            not_among(allowed, spell)
        )
    })
}
