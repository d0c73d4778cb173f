//! Which links of ours a pod has: host ends by their marks, pod ends by the number that the host end
//! names. What a tenant can write, a name, an alias, a group, is never asked.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use netlink_packet_route::AddressFamily;
use nix::errno::Errno;

use super::{
    Machine,
    links::{
        GROUP, HostSide, Mark, Place, PodSide, Present, Route, VETH, address,
        mark::{PORT_OF_NODE, host_end_name, is_host_end_name, other_end},
        settings::{self, Setting},
        wall::{self, program::Instruction},
    },
    netlink::{Error, Socket},
    row::Row,
    sandbox::{Inside, Sandbox, read_addresses, read_routes},
    surroundings::is_device,
};

/// Devices that are in the pod as a whole.
mod devices;
/// Pod ends without a host end.
mod stranded;
pub use devices::Candidate;
pub use stranded::Stranded;

/// The links of ours that a pod has, and host ends of a sandbox that it had before.
pub type Found = (Vec<Present>, Vec<(Place, u32)>);

/// The mark of a host end of this installation. Another link is not ours, whatever its alias says.
pub fn mark_of(row: &Row, installation: &str) -> Option<Mark> {
    if !row.is_kind(VETH) || !is_host_end_name(&row.name) {
        return None;
    }
    row.mark().filter(|mark| mark.installation == installation)
}

/// What a crash left between a link's first message and its mark. All that is in the switch is ours: one
/// that is not known by its name and mark there is nobody's.
fn is_half_made(row: &Row, place: Place, installation: &str) -> bool {
    match place {
        Place::Switch => row.is_kind(VETH) && mark_of(row, installation).is_none(),
        Place::Node => {
            row.is_kind(VETH)
                && row.alias.is_none()
                && row.group == GROUP
                && is_host_end_name(&row.name)
        }
    }
}

impl Machine {
    /// The uids of all pods that a host end's mark names.
    pub fn pods_with_links(&self) -> Vec<String> {
        self.ends
            .iter()
            .filter(|(_, ends)| !ends.is_empty())
            .map(|(uid, _)| uid.clone())
            .collect()
    }

    /// Host ends of a pod, with their marks.
    pub fn ends_of(&self, pod_uid: &str) -> Vec<(Place, Row, Mark)> {
        let ends = self.ends.get(pod_uid).into_iter().flatten();
        ends.filter_map(|(place, index)| {
            let space = if *place == Place::Switch {
                &self.switch
            } else {
                &self.node
            };
            let row = space.links.get(index)?.clone();
            let mark = mark_of(&row, &self.installation)?;
            Some((*place, row, mark))
        })
        .collect()
    }

    /// Links that nobody finished and nobody will.
    pub fn half_made(&self) -> Vec<(Place, u32)> {
        let of = |place: Place, rows: &std::collections::HashMap<u32, Row>| {
            let half = rows
                .values()
                .filter(|row| is_half_made(row, place, &self.installation));
            half.map(|row| (place, row.index)).collect::<Vec<_>>()
        };
        [
            of(Place::Switch, &self.switch.links),
            of(Place::Node, &self.node.links),
        ]
        .concat()
    }

    /// Bridges in the switch that have no port, once `going` is gone.
    pub fn idle_bridges(&self, going: &HashSet<(Place, u32)>) -> Vec<(String, u32)> {
        let stays = |row: &&Row| !going.contains(&(Place::Switch, row.index));
        let used: BTreeSet<u32> = self
            .switch
            .links
            .values()
            .filter(stays)
            // The way out of a segment uses its bridge for nobody.
            .filter(|row| !is_device(row))
            .filter_map(|row| row.master)
            .collect();
        self.bridges
            .iter()
            .filter(|(_, index)| !used.contains(index))
            .map(|(name, index)| (name.clone(), *index))
            .collect()
    }

    /// The links of ours that a pod has, and host ends of a sandbox that it had before.
    pub fn present(
        &mut self,
        sandbox: &Sandbox,
        id: &str,
        pod_uid: &str,
        inside: &Inside,
    ) -> Result<Found, Error> {
        let (mut present, mut stale) = (Vec::new(), Vec::new());
        let ends = self.ends_of(pod_uid);
        let around = match ends.iter().any(|(place, ..)| *place == Place::Node) {
            true => Around::read(&mut self.node.socket)?,
            false => Around::default(),
        };
        for (place, row, mark) in ends {
            if row.name != host_end_name(id, &mark.link) {
                stale.push((place, row.index));
                continue;
            }
            let number = match place {
                Place::Switch => sandbox.in_switch,
                Place::Node => self.node.number_of(&sandbox.netns)?,
            };
            let is_here = row.peer_netns == Some(number);
            let pod = row
                .peer
                .filter(|_| is_here)
                .and_then(|peer| pod_side(inside, peer));
            let host = self.host_side(place, &row, &around)?;
            present.push(Present {
                mark: Some(mark),
                place,
                host,
                pod,
            });
        }
        Ok((present, stale))
    }

    fn pins_on(&self, place: Place, port: u32) -> BTreeSet<[u8; 6]> {
        let pins = self.pinned.iter();
        let pins = pins.filter(|(at, index, _)| (*at, *index) == (place, port));
        pins.map(|(.., mac)| *mac).collect()
    }

    fn host_side(&mut self, place: Place, row: &Row, around: &Around) -> Result<HostSide, Error> {
        let own_mac = row.mac.unwrap_or_default();
        let pins = self.pins_on(place, row.index);
        let mac = match own_mac == PORT_OF_NODE {
            // Two of them are what a crash left between.
            true => pins.first().filter(|_| pins.len() == 1).copied(),
            false => Some(other_end(own_mac)),
        };
        let here = |index: u32| place == Place::Node && index == row.index;
        let addresses = around.addresses.iter().filter(|a| a.ours && here(a.index));
        let routes = around.routes.iter().filter(|(index, _)| here(*index));
        Ok(HostSide {
            ingress: read_ingress(&mut self.space(place).socket, row.index)?,
            settings: self.settings_of(place, &row.name)?,
            index: row.index,
            name: row.name.clone(),
            up: row.up,
            mtu: row.mtu,
            own_mac,
            mac,
            master: row.master,
            port: row.port,
            pins,
            addresses: addresses.map(|a| a.network).collect(),
            routes: routes.map(|(_, route)| route.clone()).collect(),
        })
    }

    /// What no event tells of a host end that is where others set sysctls.
    fn settings_of(&self, place: Place, name: &str) -> Result<BTreeMap<Setting, String>, Error> {
        let mut found = BTreeMap::new();
        for setting in settings::all().filter(|_| place == Place::Node) {
            let path = setting.path(name);
            let value = self.procfs.get(&path);
            let value = value.map_err(|e| Error::io(format!("read {path}"), &e))?;
            found.extend(value.map(|value| (setting, value)));
        }
        Ok(found)
    }
}

/// The program of the one filter at a host end's ingress.
fn read_ingress(socket: &mut Socket, index: u32) -> Result<Vec<Instruction>, Error> {
    let deed = "list the tc filters of a host end";
    let filters = socket.dump(deed, &wall::list(index), |all: &mut Vec<_>, _, body| {
        all.extend(wall::read(body));
    });
    let mut filters = match filters {
        // It went while it was looked at.
        Err(error) if error.errno == Errno::ENODEV => Vec::new(),
        filters => filters?,
    };
    let last = filters.pop().filter(|_| filters.is_empty());
    Ok(last.unwrap_or_default())
}

/// What of ours is on the host ends in the node's namespace, read once for all of a pod's.
#[derive(Default)]
struct Around {
    addresses: Vec<address::Present>,
    routes: Vec<(u32, Route)>,
}

impl Around {
    fn read(socket: &mut Socket) -> Result<Self, Error> {
        let addresses = read_addresses(socket)?;
        let mut routes = read_routes(socket, AddressFamily::Inet)?;
        routes.extend(read_routes(socket, AddressFamily::Inet6)?);
        Ok(Self { addresses, routes })
    }
}

pub(super) fn pod_side(inside: &Inside, index: u32) -> Option<PodSide> {
    let row = inside.links.get(&index)?;
    let routes: BTreeSet<Route> = inside
        .routes
        .iter()
        .filter(|(at, _)| *at == index)
        .map(|(_, route)| route.clone())
        .collect();
    Some(PodSide {
        index,
        name: row.name.clone(),
        up: row.up,
        mtu: row.mtu,
        mac: row.mac,
        slaac: row.accept_ra.map(|accept| accept != 0),
        has_ipv6_off: row.disable_ipv6.is_some_and(|disabled| disabled != 0),
        addresses: inside
            .addresses
            .iter()
            .filter(|a| a.index == index)
            .cloned()
            .collect(),
        routes,
    })
}
