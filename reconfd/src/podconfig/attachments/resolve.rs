//! Pure: from a requested attachment and its configuration to the chain that runs, or why none does.

use std::net::IpAddr;

use cni::{
    NetworkConfig, Trust,
    judge::{PluginRule, TenantRules, objections},
    netconf::AttachmentInput,
};
use crds::{
    Cidr, Mac, Reason,
    podconfig::cni::{Bandwidth, PortMapping, Protocol},
};
use policy::{AttachmentGrant, bounded};
use sandbox_record::Record;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::podconfig::{
    cause::Cause,
    desired::{ConfigurationSource, DesiredAttachment},
};

/// A chain that may run, and what its result may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub chain: cni::FrozenChain,
    /// What the rules that allow all of it permit.
    pub grants: Vec<AttachmentGrant>,
    /// Of everything that makes it another attachment.
    pub spec_hash: String,
}

/// `text`: the configuration.
pub fn resolve(
    desired: &DesiredAttachment,
    text: &str,
    record: &Record,
) -> Result<Resolved, Cause> {
    let default_name = match &desired.source {
        ConfigurationSource::Definition { name, .. } => name.clone(),
        ConfigurationSource::Inline(text) => inline_name(&record.pod_namespace, text),
    };
    let (config, grants) = judged(desired, (text, &default_name), record)?;
    let input = AttachmentInput {
        container_id: record.container_id.clone(),
        ifname: desired.name.clone(),
        netns: record.netns.display().to_string(),
        args: arguments(desired, record),
        runtime_config: runtime_config(desired),
        cni_args: cni_args(desired),
    };
    let chain = config
        .freeze(input)
        .map_err(|error| invalid(error.to_string()))?;
    let spec_hash = spec_hash(&chain, &desired.gateways);
    Ok(Resolved {
        chain,
        grants,
        spec_hash,
    })
}

/// The rules that allow all of the link, with the GUID that its element asks for: that is a hardware address.
fn grants(desired: &DesiredAttachment) -> Result<Vec<&AttachmentGrant>, Cause> {
    let guid = guid(desired);
    let grants = desired.permit.attachments.iter();
    let grants: Vec<_> = grants
        .filter(|grant| grant.any_mac || guid.is_none())
        .collect();
    match guid {
        Some(guid) if grants.is_empty() => Err((
            Reason::NotAllowed,
            format!("infiniband-guid {guid} needs macs: Any, which is not there"),
        )),
        _ => Ok(grants),
    }
}

fn guid(desired: &DesiredAttachment) -> Option<&String> {
    let element = desired.element.as_ref()?;
    element.infiniband_guid.as_ref()
}

/// The configuration, and the rules that allow all of it. A trusted one is read as it is written.
fn judged(
    desired: &DesiredAttachment,
    (text, default_name): (&str, &str),
    record: &Record,
) -> Result<(NetworkConfig, Vec<AttachmentGrant>), Cause> {
    let parse = |trust| NetworkConfig::parse(text, default_name, trust);
    let grants = grants(desired)?;
    let trusted = grants.iter().filter(|grant| grant.trusted);
    let trusted: Vec<_> = trusted.map(|grant| (*grant).clone()).collect();
    if !trusted.is_empty() {
        let config = parse(Trust::Trusted).map_err(|error| invalid(error.to_string()))?;
        return Ok((config, trusted));
    }
    let mut config = parse(Trust::Tenant).map_err(|error| invalid(error.to_string()))?;
    if let ConfigurationSource::Inline(_) = desired.source {
        config.network = default_name.to_owned();
    }
    let mut nearest: Option<Vec<String>> = None;
    let mut allowing = Vec::new();
    for grant in grants {
        let against = against(&config, grant, record);
        match against.is_empty() {
            true => allowing.push(grant.clone()),
            false
                if nearest
                    .as_ref()
                    .is_none_or(|other| against.len() < other.len()) =>
            {
                nearest = Some(against);
            }
            false => {}
        }
    }
    match (allowing.is_empty(), nearest) {
        (false, _) => Ok((config, allowing)),
        (true, nearest) => {
            let objections = nearest.unwrap_or_default();
            Err((Reason::NotAllowed, bounded(objections.join("; "))))
        }
    }
}

/// A tenant's network may not be called as the pod's first one: its reservations would be the cluster's.
fn against(config: &NetworkConfig, grant: &AttachmentGrant, record: &Record) -> Vec<String> {
    let plugins: Vec<PluginRule> = grant
        .plugins
        .iter()
        .map(|rule| PluginRule {
            plugin_type: rule.plugin_type.clone(),
            keys: rule.keys.clone(),
        })
        .collect();
    let rules = TenantRules {
        plugins: &plugins,
        denied_networks: std::slice::from_ref(&record.network),
        ..TenantRules::default()
    };
    let objections = objections(config, rules).into_iter();
    objections.map(|objection| objection.to_string()).collect()
}

fn invalid(message: String) -> Cause {
    (Reason::DefinitionInvalid, bounded(message))
}

/// The network of an inline configuration: nobody else's, so that its reservations are of this tenant alone.
fn inline_name(namespace: &str, text: &str) -> String {
    format!("pc.{namespace}.{}", &digest(text.as_bytes())[..16])
}

/// `args.cni` of every plugin: of an element as it is written there.
fn cni_args(desired: &DesiredAttachment) -> Map<String, Value> {
    let request = &desired.request;
    let args = request.args.iter();
    match &desired.element {
        Some(element) => element.cni_args.clone(),
        None => args
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect(),
    }
}

/// The requested addresses: those of an element with the prefix length that it gives, or none.
fn addresses(desired: &DesiredAttachment) -> Vec<String> {
    match &desired.element {
        Some(element) => element.ips.iter().map(ToString::to_string).collect(),
        None => desired.addresses.iter().map(ToString::to_string).collect(),
    }
}

/// As Multus and the runtime pass them, then what the link asks for.
fn arguments(desired: &DesiredAttachment, record: &Record) -> Vec<(String, String)> {
    let uid = record.pod_uid.clone().unwrap_or_default();
    let mut arguments = vec![
        ("IgnoreUnknown".to_owned(), "true".to_owned()),
        ("K8S_POD_NAMESPACE".to_owned(), record.pod_namespace.clone()),
        ("K8S_POD_NAME".to_owned(), record.pod_name.clone()),
        (
            "K8S_POD_INFRA_CONTAINER_ID".to_owned(),
            record.container_id.clone(),
        ),
        ("K8S_POD_UID".to_owned(), uid),
    ];
    arguments.extend(
        desired
            .mac
            .map(|mac| ("MAC".to_owned(), Mac(mac).to_string())),
    );
    let addresses = addresses(desired);
    if !addresses.is_empty() {
        arguments.push(("IP".to_owned(), addresses.join(",")));
    }
    arguments
}

/// The values of capabilities; a plugin gets those that it declares.
fn runtime_config(desired: &DesiredAttachment) -> Map<String, Value> {
    let mut values = Map::new();
    if let Some(mac) = desired.mac {
        values.insert("mac".into(), Mac(mac).to_string().into());
    }
    if let Some(guid) = guid(desired) {
        values.insert("infinibandGUID".into(), guid.as_str().into());
    }
    let addresses = addresses(desired);
    if !addresses.is_empty() {
        values.insert("ips".into(), addresses.into());
    }
    if !desired.request.port_mappings.is_empty() {
        let mappings: Vec<_> = desired
            .request
            .port_mappings
            .iter()
            .map(port_mapping)
            .collect();
        values.insert("portMappings".into(), mappings.into());
    }
    if let Some(bandwidth) = &desired.request.bandwidth {
        values.insert("bandwidth".into(), self::bandwidth(bandwidth));
    }
    values
}

fn port_mapping(mapping: &PortMapping) -> Value {
    let protocol = match mapping.protocol.unwrap_or(Protocol::Tcp) {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    let mut value = json!({
        "hostPort": mapping.host_port,
        "containerPort": mapping.container_port,
        "protocol": protocol,
    });
    if let Some(address) = mapping.host_ip {
        value["hostIP"] = address.to_string().into();
    }
    value
}

/// The plugin's own names.
fn bandwidth(bandwidth: &Bandwidth) -> Value {
    let pairs = [
        ("ingressRate", bandwidth.ingress_rate),
        ("ingressBurst", bandwidth.ingress_burst),
        ("egressRate", bandwidth.egress_rate),
        ("egressBurst", bandwidth.egress_burst),
    ];
    let given = pairs
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
    Value::Object(given.collect())
}

/// Of everything that an element of the annotation asks for beside its definition.
pub fn element_hash(desired: &DesiredAttachment) -> String {
    let mut what = vec![json!(runtime_config(desired)), json!(cni_args(desired))];
    what.extend(routes(&desired.gateways));
    digest(Value::from(what).to_string().as_bytes())
}

/// Where the namespace is and which binaries there are makes no other attachment.
fn spec_hash(chain: &cni::FrozenChain, gateways: &[IpAddr]) -> String {
    let plugins: Vec<_> = chain.plugins.iter().map(|plugin| &plugin.object).collect();
    let mut what = vec![
        json!(chain.network),
        json!(chain.cni_version),
        json!(plugins),
        json!(chain.runtime_config),
        json!(chain.args),
        json!(chain.disable_check),
    ];
    what.extend(routes(gateways));
    digest(Value::from(what).to_string().as_bytes())
}

/// What default routes add to a hash. Where there are none, it is that of an attachment from before there were any.
fn routes(gateways: &[IpAddr]) -> Option<Value> {
    (!gateways.is_empty()).then(|| json!(gateways))
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What no rule allows of a result, in the words of the nearest one. Nothing if one rule allows all of it.
pub fn objection(result: &cni::CniResult, grants: &[AttachmentGrant]) -> Option<String> {
    let objections = grants.iter().map(|grant| result_objections(result, grant));
    let nearest = objections.min_by_key(Vec::len)?;
    nearest.into_iter().next()
}

/// What of a result no rule allows: its addresses and routes against one rule.
pub fn result_objections(result: &cni::CniResult, grant: &AttachmentGrant) -> Vec<String> {
    let holds = |networks: &[Cidr], network| networks.iter().any(|one| one.holds(network));
    let outside = |ip: &IpAddr| !holds(&grant.addresses, (*ip).into());
    let addresses = result.ips.iter().map(|ip| ip.address.ip()).filter(outside);
    let addresses =
        addresses.map(|ip| format!("address {ip} of the result is not in the rule's addresses"));
    let routes = result.routes.iter().map(|route| route.dst);
    let routes = routes.filter(|to| !holds(&grant.routes, *to));
    let routes =
        routes.map(|to| format!("route to {to} of the result is not in the rule's routes"));
    addresses.chain(routes).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
