//! Names of networks that a tenant's definition may not have. Plugins keep reservations by the name, whoever asks, so
//! with the name of another network a tenant would fill or free its addresses.

use cni::{NetworkConfig, Trust};
use crds::{NetworkAttachmentDefinition, PodConfigPolicy};
use policy::{AttachmentGrant, bounded};
use store::Stores;

use super::resolve::Resolved;

/// Why a chain may not be of its network. A trusted definition may be of any; the judge refuses the pod's first one.
pub fn objection(resolved: &Resolved, stores: &Stores) -> Option<String> {
    let network = &resolved.chain.network;
    if AttachmentGrant::any_trusted(&resolved.grants) {
        return None;
    }
    let mut trusted = trusted(stores);
    trusted.any(|name| name == *network).then(|| {
        bounded(format!(
            "name: {network} is the network of a definition that a policy trusts; give the definition a network name of \
             its own"
        ))
    })
}

/// The networks of all definitions that a policy trusts, in whatever namespace.
fn trusted(stores: &Stores) -> impl Iterator<Item = String> {
    let policies = stores.all::<PodConfigPolicy>();
    let rules = policies.into_iter().flat_map(|policy| {
        let rules = policy
            .spec
            .allow
            .iter()
            .filter_map(|rule| rule.cni.as_ref());
        let listed = rules.flat_map(|rule| rule.definitions.clone());
        listed.collect::<Vec<_>>()
    });
    rules.flat_map(|listed| {
        let names = listed.names.into_iter();
        let networks = names.filter_map(|name| {
            let found = stores.get::<NetworkAttachmentDefinition>(&listed.namespace, &name)?;
            let config = NetworkConfig::parse(&found.spec.config, &name, Trust::Trusted);
            Some(config.map_or(name, |config| config.network))
        });
        networks.collect::<Vec<_>>()
    })
}
