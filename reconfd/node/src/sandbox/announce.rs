//! Announces a pod's addresses, so that neighbours, switches and tunnels learn them at once: gratuitous ARP
//! for IPv4 and unsolicited neighbour advertisements for IPv6.
//!
//! The kernel sends both when the MAC address of a link is set, also to the same one (NETDEV_CHANGEADDR), for
//! all addresses of the link, if `arp_notify` and `ndisc_notify` are on. They are on only for that moment and
//! are then restored. This needs no packet socket, and so not CAP_NET_RAW.

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::LinkUnspec;

use super::Sandbox;
use crate::{
    ip_dump::no_such_family,
    links::neighbour,
    netlink::{Error, Request, Socket},
    procfs::{LinkSettings, Replaced},
    watched_netns::read_link,
};

/// Limit of restored neighbour entries of a pod: the tenant controls their number.
const MOST_KEPT: usize = 1024;

/// The scope of an announcement. Each one is flooded to all ports of the bridge.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Whether IPv6 addresses are announced. A link-local address alone is derived from the MAC address, so
    /// no neighbour has a stale entry, and the announcement of an IPv4 address updates the forwarding tables.
    pub ipv6: bool,
    /// Whether the pod may have written neighbour entries on the link. A new link has none.
    pub may_have_neighbours: bool,
}

impl Extent {
    const ALL: Self = Self {
        ipv6: true,
        may_have_neighbours: true,
    };

    /// The scope for a link with these addresses of ours.
    pub fn of(addresses: &[IpNetwork], is_new: bool) -> Self {
        let has_ipv4 = addresses.iter().any(IpNetwork::is_ipv4);
        Self {
            ipv6: !has_ipv4 || addresses.iter().any(IpNetwork::is_ipv6),
            may_have_neighbours: !is_new,
        }
    }
}

impl Sandbox {
    /// Announces the addresses of a link, unless it is gone or down.
    pub fn announce(&mut self, index: u32, extent: Extent) -> Result<(), Error> {
        let info = read_link(&mut self.socket, index)?;
        let Some((info, mac)) = info.filter(|info| info.up).and_then(|info| {
            let mac = info.mac?;
            Some((info, mac))
        }) else {
            return Ok(());
        };
        let same = LinkUnspec::new_with_index(index)
            .address(mac.to_vec())
            .build();
        let announce = Request::new(
            format!("announce the addresses of {}", info.name),
            0,
            RouteNetlinkMessage::SetLink(same),
        );
        let answers = self.announcing((index, &info.name), extent, |socket| {
            socket.prompt(&[announce])
        })?;
        self.socket.rest();
        answers.into_iter().collect()
    }

    /// Sends a batch like [`Self::apply`]; a change of the link's MAC address in it is announced.
    pub fn apply_and_announce(
        &mut self,
        settings: &[(String, &str)],
        (index, name): (u32, &str),
        requests: &[Request],
    ) -> Result<Vec<Result<(), Error>>, Error> {
        self.apply(settings, &[])?;
        self.announcing((index, name), Extent::ALL, |socket| socket.batch(requests))
    }

    fn announcing(
        &mut self,
        (index, name): (u32, &str),
        extent: Extent,
        change: impl FnOnce(&mut Socket) -> Vec<Result<(), Error>>,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let kept = match extent.may_have_neighbours {
            true => self.neighbours_to_keep(index)?,
            false => Vec::new(),
        };
        let arp = notify(self.ipv4.as_ref(), format!("{name}/arp_notify"))?;
        let ipv6 = self.ipv6.as_ref().filter(|_| extent.ipv6);
        let ndisc = notify(ipv6, format!("{name}/ndisc_notify"));
        let mut answers = change(&mut self.socket);
        answers.extend(self.socket.prompt(&kept));
        let restored = [Ok(arp), ndisc].map(|changed| changed?.map_or(Ok(()), Changed::restore));
        answers.extend(restored);
        Ok(answers)
    }

    /// The entries that an announcement deletes and that only the pod would restore.
    fn neighbours_to_keep(&mut self, index: u32) -> Result<Vec<Request>, Error> {
        let mut kept = Vec::new();
        for request in neighbour::list_on(index) {
            let found = self.socket.dump(
                "list the pod's neighbour entries",
                &request,
                |all: &mut Vec<Request>, _, body| {
                    if all.len() < MOST_KEPT {
                        all.extend(neighbour::kept(body, index));
                    }
                },
            );
            kept.extend(no_such_family(found)?);
        }
        Ok(kept)
    }
}

/// A temporarily changed setting, with its name.
struct Changed(String, Replaced);

impl Changed {
    fn restore(self) -> Result<(), Error> {
        let Self(name, replaced) = self;
        let restored = replaced.restore();
        restored.map_err(|error| Error::io(format!("set {name} back"), &error))
    }
}

fn notify(settings: Option<&LinkSettings>, name: String) -> Result<Option<Changed>, Error> {
    let Some(settings) = settings else {
        return Ok(None);
    };
    let replaced = settings
        .replace(&name, "1")
        .map_err(|error| Error::io(format!("set {name}"), &error))?;
    Ok(replaced.map(|replaced| Changed(name, replaced)))
}
