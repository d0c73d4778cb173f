//! Who holds a static address on a segment of this node: the first pod that was granted it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnetwork::IpNetwork;
use std::net::IpAddr;

use crate::node::links::{Device, HostEnd, Kind, Link};

#[derive(Debug, Default)]
pub struct Holders {
    /// Segment and address → pod uid.
    held: BTreeMap<(String, IpAddr), String>,
    by_pod: HashMap<String, BTreeSet<(String, IpAddr)>>,
    /// Pods that were refused an address.
    waiting: BTreeSet<String>,
}

impl Holders {
    /// Takes the addresses of a link for a pod; another pod's uid and the address, if it has one.
    pub fn take(&mut self, uid: &str, link: &Link) -> Result<(), (String, IpAddr)> {
        let places: Vec<_> = places(link).collect();
        for place in &places {
            if let Some(holder) = self.held.get(place).filter(|holder| *holder != uid) {
                let taken = (holder.clone(), place.1);
                self.waiting.insert(uid.into());
                return Err(taken);
            }
        }
        for place in places {
            self.held.insert(place.clone(), uid.into());
            self.by_pod.entry(uid.into()).or_default().insert(place);
        }
        Ok(())
    }

    /// Keeps of a pod's addresses only those of `links`. The pods that wait, if any came free.
    pub fn keep<'a>(
        &mut self,
        uid: &str,
        links: impl Iterator<Item = &'a Link>,
    ) -> BTreeSet<String> {
        let kept: BTreeSet<_> = links.flat_map(places).collect();
        let Some(held) = self.by_pod.get_mut(uid) else {
            return BTreeSet::new();
        };
        let free: Vec<_> = held.difference(&kept).cloned().collect();
        held.retain(|place| kept.contains(place));
        if held.is_empty() {
            self.by_pod.remove(uid);
        }
        for place in &free {
            self.held.remove(place);
        }
        if free.is_empty() {
            BTreeSet::new()
        } else {
            std::mem::take(&mut self.waiting)
        }
    }
}

fn places(link: &Link) -> impl Iterator<Item = (String, IpAddr)> {
    let segment = match &link.kind {
        Kind::Veth(veth) => match &veth.host_end {
            HostEnd::Bridge { name, .. } => name.clone(),
            HostEnd::HostBridge(name) => format!("node/{name}"),
            HostEnd::Routed => "node".into(),
            HostEnd::Segment(segment) => segment.name.clone(),
        },
        Kind::Device(Device::Exclusive(segment)) => segment.name.clone(),
        // Behind links of the same name there may be the same network.
        Kind::Device(Device::Inside {
            namespace,
            carrier,
            data,
        }) => format!("{data} on {namespace}/{carrier}"),
    };
    link.addresses
        .iter()
        .map(IpNetwork::ip)
        .map(move |ip| (segment.clone(), ip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::links::Veth;

    fn link(bridge: &str, address: &str) -> Link {
        let host_end = HostEnd::Bridge {
            name: bridge.into(),
            stands_for: String::new(),
        };
        Link {
            name: "data0".into(),
            kind: Kind::Veth(Veth {
                host_end,
                learning: false,
            }),
            mtu: Some(1500),
            mac: None,
            addresses: vec![address.parse().expect("an address")],
            routes: BTreeSet::new(),
            slaac: false,
        }
    }

    #[test]
    fn an_address_has_one_holder_on_a_segment_and_another_on_the_next() {
        let mut holders = Holders::default();
        assert_eq!(holders.take("a", &link("blue", "10.0.0.1/24")), Ok(()));
        assert_eq!(holders.take("a", &link("blue", "10.0.0.1/24")), Ok(()));
        assert!(holders.take("b", &link("blue", "10.0.0.1/16")).is_err());
        assert_eq!(holders.take("b", &link("red", "10.0.0.1/24")), Ok(()));
    }

    #[test]
    fn who_waits_is_told_when_an_address_comes_free() {
        let mut holders = Holders::default();
        let wish = link("blue", "10.0.0.1/24");
        holders.take("a", &wish).expect("free");
        holders.take("b", &wish).expect_err("held");
        assert!(holders.keep("a", [&wish].into_iter()).is_empty());
        assert_eq!(
            holders.keep("a", [].into_iter()),
            BTreeSet::from(["b".to_owned()])
        );
        assert_eq!(holders.take("b", &wish), Ok(()));
    }
}
