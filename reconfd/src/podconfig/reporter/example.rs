//! Example outcomes for the tests of the reporter.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use conditions::Revision;
use crds::{Reason, report::LinkState};

use crate::podconfig::outcome::{LinkOutcome, LocalPod, NetworksOutcome, PodOutcome, PresentFacts};

/// A link that is present with these addresses, if it is ready.
pub fn link(name: &str, state: LinkState, reason: Reason, addresses: &[&str]) -> LinkOutcome {
    let facts = PresentFacts {
        mac: [0x0a, 0x58, 192, 168, 100, 7],
        mtu: 1500,
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        host_interface: None,
        bridge: None,
    };
    LinkOutcome {
        name: name.into(),
        podconfig: "data".into(),
        revision: Revision::default(),
        kind: "veth",
        state,
        reason,
        message: "why".into(),
        present: (state == LinkState::Ready).then_some(facts),
        domain: None,
        conflict: None,
        tunnel: None,
        last_change: None,
    }
}

pub fn outcome(links: Vec<LinkOutcome>, since: SystemTime) -> PodOutcome {
    let pod = LocalPod {
        namespace: "t".into(),
        name: "a".into(),
        uid: "u".into(),
        labels: BTreeMap::new(),
        namespace_labels: BTreeMap::new(),
        sandbox: "s".into(),
        recorded_by: None,
        net_admin: store::pod::NetAdmin::No,
        host_network: false,
    };
    PodOutcome {
        pod: Arc::new(pod),
        links,
        trouble: None,
        since,
        removed: Vec::new(),
        repaired: std::collections::BTreeMap::new(),
        networks: NetworksOutcome::default(),
    }
}
