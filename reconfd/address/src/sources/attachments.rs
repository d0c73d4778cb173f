//! Pure: addresses in NetworkAttachmentDefinitions, from the configuration of their plugins. There is no list of all
//! plugins: unknown fields are ignored.

use crds::reserved::Usage;
use serde_json::Value;

use super::{Extractor, field::Field};

pub fn attachment(object: &Field<'_>, out: &mut Extractor) {
    raw(&object.at("spec.config"), out);
    // Some write it in place of the text.
    config(&object.at("spec"), out);
}

/// A configuration as text.
pub fn raw(field: &Field<'_>, out: &mut Extractor) {
    let Some(text) = field.text() else {
        return;
    };
    match serde_json::from_str::<Value>(text) {
        Ok(value) => config(&Field::named(&field.path, &value), out),
        Err(error) => out.warn(field, &format!("this is not JSON: {error}")),
    }
}

/// One plugin, or a chain of them.
fn config(config: &Field<'_>, out: &mut Extractor) {
    plugin(config, out);
    for one in config.at("plugins").items() {
        plugin(&one, out);
    }
}

fn plugin(plugin: &Field<'_>, out: &mut Extractor) {
    let ipam = plugin.at("ipam");
    // whereabouts
    pool(&ipam.at("range"), out);
    for range in ipam.at("ipRanges").items() {
        pool(&range.at("range"), out);
    }
    // host-local
    pool(&ipam.at("subnet"), out);
    for range in ipam.at("ranges").items().flat_map(|set| set.items()) {
        pool(&range.at("subnet"), out);
    }
    // static
    for address in ipam.at("addresses").items() {
        alone(&address.at("address"), out);
    }
    // OVN-Kubernetes
    if plugin.at("type").is("ovn-k8s-cni-overlay") {
        ovn(&plugin.at("subnets"), out);
    }
}

/// A single address; its prefix length is that of the surrounding network.
pub fn alone(field: &Field<'_>, out: &mut Extractor) {
    if let Some(address) = field.text().and_then(|text| text.split('/').next()) {
        let address = Value::from(address);
        out.network(Usage::Address, &Field::named(&field.path, &address));
    }
}

fn pool(field: &Field<'_>, out: &mut Extractor) {
    match field.value {
        Value::Null | Value::String(_) => out.network(Usage::Pool, field),
        other => out.warn(field, &format!("{other} is not a text")),
    }
}

/// `10.128.0.0/16/24`: the network, and the prefix length of each node's part.
fn ovn(field: &Field<'_>, out: &mut Extractor) {
    for subnet in field.text().unwrap_or_default().split(',') {
        let words: Vec<&str> = subnet.trim().splitn(3, '/').collect();
        if let [address, length, ..] = words[..] {
            let network = Value::from(format!("{address}/{length}"));
            out.network(Usage::Pool, &Field::named(&field.path, &network));
        }
    }
}
