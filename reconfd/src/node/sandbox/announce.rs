//! A pod's addresses announced on the wire, so that its neighbours, switches and tunnels learn at once
//! where they are: gratuitous ARP for IPv4 and unsolicited neighbour advertisements for IPv6.
//!
//! The kernel sends both by itself when the MAC address of a link is set, also to the one that it has
//! (NETDEV_CHANGEADDR), for all addresses of the link, if `arp_notify` and `ndisc_notify` say so. They do
//! so for that moment alone, and then are what the pod had them be. No packet socket is needed, and so
//! not CAP_NET_RAW.

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::LinkUnspec;

use super::Sandbox;
use crate::node::{
    links::neighbour,
    netlink::{Error, Request, Socket},
    procfs::LinkSettings,
    watched_netns::read_link,
};

/// So many of a pod's own neighbour entries are brought back: how many there are, the tenant says.
const MOST_KEPT: usize = 1024;

/// What an announcement of a link has to reach, and to spare. Each one is flooded to all ports of the bridge.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Whether its IPv6 addresses are announced. A link-local address alone follows from the MAC address: no
    /// neighbour knows it by another, and the announcement of an IPv4 address leads frames to the new place.
    pub ipv6: bool,
    /// Whether the pod may have written neighbour entries on the link. On one that was just made there are none.
    pub may_have_neighbours: bool,
}

impl Extent {
    const ALL: Self = Self {
        ipv6: true,
        may_have_neighbours: true,
    };

    /// Of a link with these addresses of ours.
    pub fn of(addresses: &[IpNetwork], is_new: bool) -> Self {
        let has_ipv4 = addresses.iter().any(IpNetwork::is_ipv4);
        Self {
            ipv6: !has_ipv4 || addresses.iter().any(IpNetwork::is_ipv6),
            may_have_neighbours: !is_new,
        }
    }
}

impl Sandbox {
    /// Announces the addresses of a link. One that is gone or down has none to announce.
    pub fn announce(&mut self, index: u32, extent: Extent) -> Result<(), Error> {
        let row = read_link(&mut self.socket, index)?;
        let Some((row, mac)) = row.filter(|row| row.up).and_then(|row| {
            let mac = row.mac?;
            Some((row, mac))
        }) else {
            return Ok(());
        };
        let same = LinkUnspec::new_with_index(index)
            .address(mac.to_vec())
            .build();
        let announce = Request::new(
            format!("announce the addresses of {}", row.name),
            0,
            RouteNetlinkMessage::SetLink(same),
        );
        let answers = self.announcing((index, &row.name), extent, |socket| {
            socket.prompt(&[announce])
        })?;
        self.socket.rest();
        answers.into_iter().collect()
    }

    /// Sends a batch like [`Self::apply`]; a change of the link's MAC address in it is announced as it is made.
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
        let restored = [Ok(arp), ndisc].map(|changed| changed?.map_or(Ok(()), Changed::undo));
        answers.extend(restored);
        Ok(answers)
    }

    /// The entries that an announcement takes away, and that nobody but the pod would write again.
    fn neighbours_to_keep(&mut self, index: u32) -> Result<Vec<Request>, Error> {
        let mut kept = Vec::new();
        for question in neighbour::list_on(index) {
            let found = self.socket.dump(
                "list the pod's neighbour entries",
                &question,
                |all: &mut Vec<Request>, _, body| {
                    if all.len() < MOST_KEPT {
                        all.extend(neighbour::kept(body, index));
                    }
                },
            );
            kept.extend(super::no_such_family(found)?);
        }
        Ok(kept)
    }
}

/// A setting that was changed for a moment.
struct Changed<'s> {
    settings: &'s LinkSettings,
    name: String,
    before: String,
}

impl Changed<'_> {
    fn undo(self) -> Result<(), Error> {
        let Self {
            settings,
            name,
            before,
        } = self;
        let undone = settings.set(&name, &before);
        undone.map_err(|error| Error::io(format!("set {name} back"), &error))
    }
}

fn notify(settings: Option<&LinkSettings>, name: String) -> Result<Option<Changed<'_>>, Error> {
    let Some(settings) = settings else {
        return Ok(None);
    };
    let before = settings
        .replace(&name, "1")
        .map_err(|error| Error::io(format!("set {name}"), &error))?;
    Ok(before.map(|before| Changed {
        settings,
        name,
        before,
    }))
}
