//! Pure: hash of a link's specification. A restarted daemon, of any later version, must compute the
//! same hash: none of this may ever change.

use sha2::{Digest, Sha256};

use node::links::{
    Device, HostEnd, Link, LinkKind, Segment, Veth,
    device::{Data, Remotes},
};

/// 16 hexadecimal characters, computed from everything that the link specifies.
pub fn spec_hash(link: &Link) -> String {
    let mut form = Canonical::default();
    form.text("podconfig:v1").text(&link.name).kind(&link.kind);
    // A link with the MTU of its lower device specifies none.
    form.number(link.mtu.unwrap_or_default())
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

/// Each field is preceded by its length, so that no two links have the same form.
#[derive(Default)]
struct Canonical(Sha256);

impl Canonical {
    fn kind(&mut self, kind: &LinkKind) -> &mut Self {
        match kind {
            LinkKind::Veth(veth) => self.veth(veth),
            LinkKind::Device(Device::Exclusive(segment)) => self.text("exclusive").segment(segment),
            LinkKind::Device(Device::Inside { carrier, data, .. }) => {
                self.text("inside").text(carrier).data(data)
            }
        }
    }

    fn veth(&mut self, Veth { host_end, learning }: &Veth) -> &mut Self {
        self.text("veth").number(u32::from(*learning));
        match host_end {
            HostEnd::Bridge { name, stands_for } => self.text("bridge").text(name).text(stands_for),
            HostEnd::HostBridge(name) => self.text("hostBridge").text(name),
            HostEnd::Routed => self.text("routed"),
            HostEnd::Segment(segment) => self.text("segment").segment(segment),
        }
    }

    fn segment(&mut self, segment: &Segment) -> &mut Self {
        self.text(&segment.parent).data(&segment.data)
    }

    fn data(&mut self, data: &Data) -> &mut Self {
        let vxlan = match data {
            Data::Vlan(id) => return self.text("vlan").number(u32::from(*id)),
            Data::Vxlan(vxlan) => vxlan,
        };
        self.text("vxlan")
            .number(vxlan.vni)
            .number(u32::from(vxlan.port));
        match &vxlan.remotes {
            Remotes::Group(group) => self.text("group").text(&group.to_string()),
            // Discovered peers are not part of the specification: they change all the time.
            Remotes::Discovered(_) => self.text("auto"),
            Remotes::Peers(peers) => {
                self.text("peers").count(peers.len());
                for peer in peers {
                    self.text(&peer.to_string());
                }
                self
            }
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
mod tests;
