//! Pure: the hash that stands for all that was asked for in a link. A restarted daemon, of any later
//! version, must come to the same one: none of this may ever change.

use sha2::{Digest, Sha256};

use crate::node::links::{HostEnd, Kind, Link, Veth};

/// 16 hexadecimal characters that stand for everything in the link that was asked for.
pub fn spec_hash(link: &Link) -> String {
    let mut form = Canonical::default();
    form.text("podconfig:v1").text(&link.name).kind(&link.kind);
    form.number(link.mtu)
        .bytes(link.mac.as_ref().map_or(&[], |mac| mac))
        .number(u32::from(link.slaac));
    form.count(link.addresses.len());
    for address in &link.addresses {
        form.text(&address.to_string());
    }
    form.count(link.routes.len());
    for route in &link.routes {
        form.text(&route.to.to_string());
        form.text(&route.via.map(|via| via.to_string()).unwrap_or_default());
        form.optional(route.metric).optional(route.table);
    }
    let digest = form.0.finalize();
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Each field goes in behind its length, so that no two links have the same form.
#[derive(Default)]
struct Canonical(Sha256);

impl Canonical {
    fn kind(&mut self, kind: &Kind) -> &mut Self {
        let Kind::Veth(Veth { host_end, learning }) = kind;
        self.text("veth").number(u32::from(*learning));
        match host_end {
            HostEnd::Bridge { name, stands_for } => self.text("bridge").text(name).text(stands_for),
            HostEnd::HostBridge(name) => self.text("hostBridge").text(name),
            HostEnd::Routed => self.text("routed"),
        }
    }

    fn optional(&mut self, number: Option<u32>) -> &mut Self {
        self.text(&number.map(|n| n.to_string()).unwrap_or_default())
    }

    fn count(&mut self, count: usize) -> &mut Self {
        self.text(&count.to_string())
    }

    fn number(&mut self, number: u32) -> &mut Self {
        self.bytes(&number.to_be_bytes())
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::node::links::Route;

    fn link() -> Link {
        Link {
            name: "data0".into(),
            kind: Kind::Veth(Veth {
                host_end: HostEnd::HostBridge("br-lan".into()),
                learning: false,
            }),
            mtu: 1500,
            mac: None,
            addresses: vec![
                "10.99.0.10/24".parse().unwrap(),
                "fd99::10/64".parse().unwrap(),
            ],
            routes: [route("172.20.0.0/16")].into(),
            slaac: false,
        }
    }

    fn route(to: &str) -> Route {
        Route {
            to: to.parse().unwrap(),
            via: None,
            metric: None,
            table: None,
        }
    }

    #[test]
    fn the_hash_of_a_link_never_changes() {
        assert_eq!(spec_hash(&link()), "c9ec789e36397a38");
    }

    fn all_differ(links: &[Link]) {
        let hashes: BTreeSet<String> = links.iter().chain([&link()]).map(spec_hash).collect();
        assert_eq!(hashes.len(), links.len() + 1);
    }

    #[test]
    fn every_other_link_is_another_hash() {
        let veth = |host_end, learning| Kind::Veth(Veth { host_end, learning });
        let lan = || HostEnd::HostBridge("br-lan".into());
        let own = HostEnd::Bridge {
            name: "br-lan".into(),
            stands_for: "a/b".into(),
        };
        let mut swapped = link();
        swapped.addresses.reverse();
        all_differ(&[
            swapped,
            Link {
                name: "data1".into(),
                ..link()
            },
            Link {
                kind: veth(lan(), true),
                ..link()
            },
            Link {
                kind: veth(own, false),
                ..link()
            },
            Link {
                kind: veth(HostEnd::Routed, false),
                ..link()
            },
            Link {
                mtu: 9000,
                ..link()
            },
            Link {
                mac: Some([2, 0, 0, 0, 0, 1]),
                ..link()
            },
            Link {
                addresses: vec![],
                ..link()
            },
            Link {
                slaac: true,
                ..link()
            },
        ]);
    }

    #[test]
    fn every_other_route_is_another_hash() {
        let with = |routes: Vec<Route>| Link {
            routes: routes.into_iter().collect(),
            ..link()
        };
        let base = route("172.20.0.0/16");
        all_differ(&[
            with(vec![]),
            with(vec![base.clone(), route("172.21.0.0/16")]),
            with(vec![Route {
                via: Some("10.99.0.1".parse().unwrap()),
                ..base.clone()
            }]),
            with(vec![Route {
                metric: Some(100),
                ..base.clone()
            }]),
            with(vec![Route {
                table: Some(100),
                ..base
            }]),
        ]);
    }
}
