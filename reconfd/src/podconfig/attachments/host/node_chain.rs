//! What the node's own CNI configuration names is nothing that a tenant's configuration may run: its plugin would act on
//! the pod's first network, and a network of its name would take the addresses of that. Asked right before ADD, because
//! the runner alone reads the node's files, and no pass may wait for it.

use attachments::{
    entry::Entry,
    status::{Failure, FailureReason},
};
use cni::plugin_types;
use crds::Reason;
use policy::AttachmentGrant;
use runner::{client::Client, protocol::NodeNetworks};

use super::Ruling;

/// Whether a trusted definition says what runs, or the node's own configuration names nothing of it.
pub fn is_not_of_the_node(
    entry: &Entry,
    ruling: Option<Ruling>,
    runner: &Client,
) -> Result<(), Failure> {
    let grants = ruling.map(|ruling| ruling.grants).unwrap_or_default();
    if AttachmentGrant::any_trusted(&grants) {
        return Ok(());
    }
    let unknown = |why: String| {
        let message = format!("the node's own CNI configuration is not known: {why}");
        Failure::new(FailureReason::RunnerUnavailable, message)
    };
    let own = runner.node_networks();
    let own = own.map_err(|error| unknown(error.to_string()))?;
    match objection(entry, &own) {
        None => Ok(()),
        Some(message) => {
            let reason = FailureReason::Judged(Reason::NotAllowed.as_str());
            Err(Failure::new(reason, message))
        }
    }
}

fn objection(entry: &Entry, own: &NodeNetworks) -> Option<String> {
    let network = &entry.chain.network;
    if own.networks.contains(network) {
        return Some(format!(
            "name: {network} is a network of the node's own CNI configuration; give the definition a network name of its own"
        ));
    }
    let plugins = entry.chain.plugins.iter();
    // What cannot be read was refused before.
    let types =
        plugins.flat_map(|plugin| plugin_types::of_plugin(&plugin.object).unwrap_or_default());
    let denied = types
        .map(|at| at.name)
        .find(|name| own.types.contains(name))?;
    Some(format!(
        "type {denied} is in the node's own CNI configuration; only a definition that a policy trusts may run it"
    ))
}
