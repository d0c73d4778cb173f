//! Which links of ours a pod has: host ends by their marks, pod ends by the number that the host end
//! names. What a tenant can write, a name, an alias, a group, is never asked.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use nix::errno::Errno;

use super::{
    Machine,
    link_info::LinkInfo,
    links::{
        GROUP, HostNetns, HostSide, OwnershipMark, PodSide, Present, Route, VETH,
        ingress_filter::{self, program::Instruction},
        ownership_mark::{PORT_OF_NODE, host_end_name, is_alias, is_host_end_name, other_end},
        settings::{self, Setting},
    },
    netlink::{Error, Socket},
    sandbox::{NetnsState, Sandbox},
    segments::is_device,
};

/// Devices that are in the pod as a whole.
mod devices;
/// Pod ends without a host end.
mod stranded;
pub use devices::Candidate;
pub use stranded::Stranded;

/// The links of ours that a pod has, and host ends of a sandbox that it had before.
pub type PresentLinks = (Vec<Present>, Vec<(HostNetns, u32)>);

/// The mark of a host end of this installation, which has our form of name or, where another program has
/// renamed it, our group. Another link is not ours, whatever its alias says.
pub fn mark_of(row: &LinkInfo, installation: &str) -> Option<OwnershipMark> {
    if !row.is_kind(VETH) || !(is_host_end_name(&row.name) || row.group == GROUP) {
        return None;
    }
    row.mark().filter(|mark| mark.installation == installation)
}

/// What a crash left between a link's first message and its mark. All that is in the switch is ours: one
/// that is not known by its name and mark there is nobody's.
fn is_half_made(row: &LinkInfo, place: HostNetns, installation: &str) -> bool {
    match place {
        HostNetns::Switch => row.is_kind(VETH) && mark_of(row, installation).is_none(),
        HostNetns::Node => {
            row.is_kind(VETH)
                && !row.alias.as_deref().is_some_and(is_alias)
                && row.group == GROUP
                && is_host_end_name(&row.name)
        }
    }
}

impl Machine {
    /// The uids of all pods that a host end's mark names.
    pub fn pods_with_links(&self) -> Vec<String> {
        self.ownership.pods()
    }

    /// Host ends of a pod, with their marks.
    pub fn ends_of(&self, pod_uid: &str) -> Vec<(HostNetns, LinkInfo, OwnershipMark)> {
        let ends = self.ownership.of_pod(pod_uid);
        ends.filter_map(|(place, index)| {
            let row = self.host_netns(place).links.get(&index)?.clone();
            let mark = self.ownership.mark_of(place, index)?.clone();
            Some((place, row, mark))
        })
        .collect()
    }

    /// Links that nobody finished and nobody will.
    pub fn half_made(&self) -> Vec<(HostNetns, u32)> {
        let of = |place: HostNetns, rows: &std::collections::HashMap<u32, LinkInfo>| {
            let half = rows
                .values()
                .filter(|row| is_half_made(row, place, &self.installation))
                .filter(|row| !self.ownership.has(place, row.index));
            half.map(|row| (place, row.index)).collect::<Vec<_>>()
        };
        [
            of(HostNetns::Switch, &self.switch.links),
            of(HostNetns::Node, &self.node.links),
        ]
        .concat()
    }

    /// Bridges in the switch that have no port, once `going` is gone.
    pub fn idle_bridges(&self, going: &HashSet<(HostNetns, u32)>) -> Vec<(String, u32)> {
        let stays = |row: &&LinkInfo| !going.contains(&(HostNetns::Switch, row.index));
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
        inside: &NetnsState,
    ) -> Result<PresentLinks, Error> {
        let (mut present, mut stale) = (Vec::new(), Vec::new());
        let ends = self.ends_of(pod_uid);
        if ends.iter().any(|(place, ..)| *place == HostNetns::Node) {
            self.read_host_end_l3()?;
        }
        for (place, row, mark) in ends {
            let number = match place {
                HostNetns::Switch => sandbox.in_switch,
                HostNetns::Node => self.node.number_of(&sandbox.netns)?,
            };
            let is_here = row.peer_netns == Some(number);
            // One that leads into the pod as it is now was only renamed.
            if !is_here && row.name != host_end_name(id, &mark.link) {
                stale.push((place, row.index));
                continue;
            }
            let pod = row
                .peer
                .filter(|_| is_here)
                .and_then(|peer| pod_side(inside, peer));
            let host = self.host_side(place, &row)?;
            present.push(Present {
                mark: Some(mark),
                place,
                host,
                pod,
            });
        }
        Ok((present, stale))
    }

    fn pins_on(&self, place: HostNetns, port: u32) -> BTreeSet<[u8; 6]> {
        let pins = self.pinned.iter();
        let pins = pins.filter(|(at, index, _)| (*at, *index) == (place, port));
        pins.map(|(.., mac)| *mac).collect()
    }

    fn host_side(&mut self, place: HostNetns, row: &LinkInfo) -> Result<HostSide, Error> {
        let own_mac = row.mac.unwrap_or_default();
        let pins = self.pins_on(place, row.index);
        let mac = match own_mac == PORT_OF_NODE {
            // Two of them are what a crash left between.
            true => pins.first().filter(|_| pins.len() == 1).copied(),
            false => Some(other_end(own_mac)),
        };
        let (ingress, is_ingress_shared) =
            read_ingress(&mut self.host_netns_mut(place).socket, row.index)?;
        let here = self
            .host_end_l3
            .as_ref()
            .filter(|_| place == HostNetns::Node);
        Ok(HostSide {
            ingress,
            is_ingress_shared,
            settings: self.settings_of(place, &row.name)?,
            index: row.index,
            name: row.name.clone(),
            is_marked: self.ownership.is_marked(place, row),
            up: row.up,
            mtu: row.mtu,
            own_mac,
            mac,
            master: row.master,
            port: row.port,
            pins,
            addresses: here
                .map(|here| here.addresses(row.index))
                .unwrap_or_default(),
            routes: here.map(|here| here.routes(row.index)).unwrap_or_default(),
        })
    }

    /// What no event tells of a host end that is where others set sysctls.
    fn settings_of(
        &self,
        place: HostNetns,
        name: &str,
    ) -> Result<BTreeMap<Setting, String>, Error> {
        let mut found = BTreeMap::new();
        for setting in settings::all().filter(|_| place == HostNetns::Node) {
            let path = setting.path(name);
            let value = self.procfs.get(&path);
            let value = value.map_err(|e| Error::io(format!("read {path}"), &e))?;
            found.extend(value.map(|value| (setting, value)));
        }
        Ok(found)
    }
}

/// The program of our filter at a host end's ingress, and whether others are asked as early. What comes
/// behind it is not ours to judge.
fn read_ingress(socket: &mut Socket, index: u32) -> Result<(Vec<Instruction>, bool), Error> {
    let op = "list the tc filters of a host end";
    let filters = socket.dump(
        op,
        &ingress_filter::list(index),
        |all: &mut Vec<_>, _, body| {
            let at = ingress_filter::Location::read(body).filter(|at| at.is_of_own_priority());
            let found = at.and_then(|at| Some((at, ingress_filter::read(body)?)));
            // Of another kind than ours it has no program.
            all.extend(found.map(|(at, program)| (at.is_own() && !program.is_empty(), program)));
        },
    );
    let filters = match filters {
        // It went while it was looked at.
        Err(error) if error.errno == Errno::ENODEV => Vec::new(),
        filters => filters?,
    };
    let is_shared = filters.iter().any(|(is_own, _)| !is_own);
    let own = filters.into_iter().find(|(is_own, _)| *is_own);
    Ok((
        own.map(|(_, program)| program).unwrap_or_default(),
        is_shared,
    ))
}

pub(super) fn pod_side(inside: &NetnsState, index: u32) -> Option<PodSide> {
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
