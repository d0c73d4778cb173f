//! The present links of ours in a pod: host ends by their marks, pod ends by the peer ifindex of the host
//! end. Attributes that a tenant can write, such as name, alias and group of the pod end, are never trusted.

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

/// Devices in the pod.
mod devices;
/// Pod ends without a host end.
mod stranded;
pub use devices::Candidate;
pub use stranded::Stranded;

/// The present links of ours in a pod, and stale host ends of its earlier sandbox.
pub type PresentLinks = (Vec<Present>, Vec<(HostNetns, u32)>);

/// The mark of a host end of this installation. It must have the form of our names or, if another program has
/// renamed it, our group. No other link is ours, even with such an alias.
pub fn mark_of(info: &LinkInfo, installation: &str) -> Option<OwnershipMark> {
    if !info.is_kind(VETH) || !(is_host_end_name(&info.name) || info.group == GROUP) {
        return None;
    }
    info.mark().filter(|mark| mark.installation == installation)
}

/// Whether a crash left the link between its creation and its mark. All links in the switch are ours: a veth
/// there without name and mark is orphaned.
fn is_half_made(info: &LinkInfo, place: HostNetns, installation: &str) -> bool {
    match place {
        HostNetns::Switch => info.is_kind(VETH) && mark_of(info, installation).is_none(),
        HostNetns::Node => {
            info.is_kind(VETH)
                && !info.alias.as_deref().is_some_and(is_alias)
                && info.group == GROUP
                && is_host_end_name(&info.name)
        }
    }
}

impl Machine {
    /// The uids of all pods with host ends.
    pub fn pods_with_links(&self) -> Vec<String> {
        self.ownership.pods()
    }

    /// Host ends of a pod, with their marks.
    pub fn ends_of(&self, pod_uid: &str) -> Vec<(HostNetns, LinkInfo, OwnershipMark)> {
        let ends = self.ownership.of_pod(pod_uid);
        ends.filter_map(|(place, index)| {
            let info = self.host_netns(place).links.get(&index)?.clone();
            let mark = self.ownership.mark_of(place, index)?.clone();
            Some((place, info, mark))
        })
        .collect()
    }

    /// Incomplete links of a crashed daemon.
    pub fn half_made(&self) -> Vec<(HostNetns, u32)> {
        let of = |place: HostNetns, infos: &std::collections::HashMap<u32, LinkInfo>| {
            let half = infos
                .values()
                .filter(|info| is_half_made(info, place, &self.installation))
                .filter(|info| !self.ownership.has(place, info.index));
            half.map(|info| (place, info.index)).collect::<Vec<_>>()
        };
        [
            of(HostNetns::Switch, &self.switch.links),
            of(HostNetns::Node, &self.node.links),
        ]
        .concat()
    }

    /// Bridges in the switch without ports, after `going` is removed.
    pub fn idle_bridges(&self, going: &HashSet<(HostNetns, u32)>) -> Vec<(String, u32)> {
        let stays = |info: &&LinkInfo| !going.contains(&(HostNetns::Switch, info.index));
        let used: BTreeSet<u32> = self
            .switch
            .links
            .values()
            .filter(stays)
            // The uplink of a segment does not count as a user of its bridge.
            .filter(|info| !is_device(info))
            .filter_map(|info| info.master)
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
        for (place, info, mark) in ends {
            let number = match place {
                HostNetns::Switch => sandbox.in_switch,
                HostNetns::Node => self.node.nsid_of(&sandbox.netns)?,
            };
            let is_here = info.peer_netns == Some(number);
            // A host end whose peer is in the present sandbox was only renamed.
            if !is_here && info.name != host_end_name(id, &mark.link) {
                stale.push((place, info.index));
                continue;
            }
            let pod = info
                .peer
                .filter(|_| is_here)
                .and_then(|peer| pod_side(inside, peer));
            let host = self.host_side(place, &info)?;
            present.push(Present {
                mark: Some(mark),
                place,
                host,
                pod,
            });
        }
        Ok((present, stale))
    }

    pub(super) fn pins_on(&self, place: HostNetns, port: u32) -> BTreeSet<[u8; 6]> {
        let of_port = (place, port, [0; 6])..=(place, port, [0xff; 6]);
        let pins = self.pinned.range(of_port);
        pins.map(|(.., mac)| *mac).collect()
    }

    fn host_side(&mut self, place: HostNetns, info: &LinkInfo) -> Result<HostSide, Error> {
        let own_mac = info.mac.unwrap_or_default();
        let pins = self.pins_on(place, info.index);
        let mac = match own_mac == PORT_OF_NODE {
            // Two entries are left by a crash.
            true => pins.first().filter(|_| pins.len() == 1).copied(),
            false => Some(other_end(own_mac)),
        };
        let (ingress, is_ingress_shared) =
            read_ingress(&mut self.host_netns_mut(place).socket, info.index)?;
        let here = self
            .host_end_l3
            .as_ref()
            .filter(|_| place == HostNetns::Node);
        Ok(HostSide {
            ingress,
            is_ingress_shared,
            settings: self.settings_of(place, &info.name)?,
            index: info.index,
            name: info.name.clone(),
            is_marked: self.ownership.is_marked(place, info),
            up: info.up,
            mtu: info.mtu,
            own_mac,
            mac,
            master: info.master,
            port: info.port,
            pins,
            addresses: here
                .map(|here| here.addresses(info.index))
                .unwrap_or_default(),
            routes: here.map(|here| here.routes(info.index)).unwrap_or_default(),
        })
    }

    /// The sysctls of a host end in the node's namespace, which have no events.
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

/// The program of our ingress filter at a host end, and whether other filters run as early. Later filters do
/// not matter.
fn read_ingress(socket: &mut Socket, index: u32) -> Result<(Vec<Instruction>, bool), Error> {
    let op = "list the tc filters of a host end";
    let filters = socket.dump(
        op,
        &ingress_filter::list(index),
        |all: &mut Vec<_>, _, body| {
            let at = ingress_filter::Location::read(body).filter(|at| at.is_of_own_priority());
            let found = at.and_then(|at| Some((at, ingress_filter::read(body)?)));
            // A filter of another kind has no program.
            all.extend(found.map(|(at, program)| (at.is_own() && !program.is_empty(), program)));
        },
    );
    let filters = match filters {
        // The link was deleted meanwhile.
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
    let info = inside.links.get(&index)?;
    let routes: BTreeSet<Route> = inside
        .routes
        .iter()
        .filter(|(at, _)| *at == index)
        .map(|(_, route)| route.clone())
        .collect();
    Some(PodSide {
        index,
        name: info.name.clone(),
        up: info.up,
        mtu: info.mtu,
        mac: info.mac,
        slaac: info.accept_ra.map(|accept| accept != 0),
        has_ipv6_off: info.disable_ipv6.is_some_and(|disabled| disabled != 0),
        addresses: inside
            .addresses
            .iter()
            .filter(|a| a.index == index)
            .cloned()
            .collect(),
        routes,
    })
}
