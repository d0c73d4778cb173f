//! Applies steps: the only place where links are created and changed. The planner decides what is sent.

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd},
};

use nix::errno::Errno;

use super::{
    Machine,
    link_info::LinkInfo,
    links::{
        HostEnd, HostNetns, LinkKind, Segment, VETH, Veth, Want, bridge,
        ownership_mark::{PORT_OF_NODE, bridge_alias, is_host_end_name},
        requests::{self, host_side_requests, ingress, pod_side_requests},
        settings::{self, Setting},
        veth,
    },
    netlink::{Error, Request, first_error},
    sandbox::Sandbox,
    watched_netns::WatchedNetns,
};

/// Changes an existing link in place.
mod change;
/// A vlan or a vxlan in a pod.
mod device;
/// Waits until a pod's frames are forwarded.
mod path;
/// Segment devices that several pods share.
mod segment;

/// Retries if the chosen ifindex was taken meanwhile.
const INDEX_TRIES: u32 = 8;

impl Machine {
    /// Creates a link, completely or not at all; returns its ifindexes.
    pub fn create(
        &mut self,
        sandbox: &mut Sandbox,
        want: &Want,
        pod_index: u32,
    ) -> Result<Made, Error> {
        match &want.link.kind {
            LinkKind::Veth(veth) => self.create_veth(sandbox, (want, veth), pod_index),
            LinkKind::Device(device) => self.create_device(sandbox, (want, device), pod_index),
        }
    }

    fn create_veth(
        &mut self,
        sandbox: &mut Sandbox,
        (want, veth): (&Want, &Veth),
        pod_index: u32,
    ) -> Result<Made, Error> {
        if veth.host_end.place() == HostNetns::Node {
            // Before there is anything of ours that another program could take away.
            self.read_host_end_l3()?;
        }
        let bridge = self.bridge_for(veth)?;
        let mac = self.free_mac((want, veth), bridge)?;
        let made = self.create_pair(sandbox, (want, veth), mac, pod_index, bridge)?;
        let finished = Self::finish(sandbox, want, made.pod);
        if let (Err(_), Some(host)) = (&finished, made.host) {
            self.unfinished.push(host);
        }
        finished.map(|()| made)
    }

    fn create_pair(
        &mut self,
        sandbox: &mut Sandbox,
        (want, veth): (&Want, &Veth),
        mac: [u8; 6],
        pod_index: u32,
        bridge: Option<u32>,
    ) -> Result<Made, Error> {
        let place = veth.host_end.place();
        let mut pod_index = pod_index;
        for attempt in 0.. {
            let host_index = self.host_netns_mut(place).take_index();
            let ends = veth::Endpoints {
                host_index,
                place,
                bridge,
                pod_index,
                pod_netns: sandbox.netns.as_fd().as_raw_fd(),
                mac,
            };
            let create = veth::create((want, veth), &ends);
            match self.create_host_side((want, veth), create, host_index, mac) {
                Ok(()) => {
                    self.expect((place, host_index), (want, veth), bridge, mac);
                    return Ok(Made {
                        host: Some((place, host_index)),
                        pod: pod_index,
                        bridge,
                        mac,
                    });
                }
                Err(refused) if refused.is_index() && attempt < INDEX_TRIES => pod_index += 1,
                Err(Refused::Create(error) | Refused::Follow(error)) => return Err(error),
            }
        }
        unreachable!("the loop ends with its attempts")
    }

    /// Only this program creates links in the switch, so the ifindex is free and all messages go in one send:
    /// if the first fails, the others find no link. In the node's namespace the ifindex may be taken, so the
    /// others are sent after the first has succeeded.
    fn create_host_side(
        &mut self,
        (want, veth): (&Want, &Veth),
        create: Request,
        index: u32,
        mac: [u8; 6],
    ) -> Result<(), Refused> {
        let filter = ingress(want, veth, index);
        let follow = host_side_requests(want, veth, index, mac);
        let place = veth.host_end.place();
        let followed = match place {
            HostNetns::Switch => {
                let mut all = vec![create];
                all.extend(filter);
                all.extend(follow);
                let mut answers = self.switch.socket.batch(&all).into_iter();
                answers.next().unwrap_or(Ok(())).map_err(Refused::Create)?;
                first_error(answers.collect())
            }
            HostNetns::Node => {
                self.node.socket.change(create).map_err(Refused::Create)?;
                // Sent separately: without it the host end must not come up in the node's namespace.
                self.quieten(want, veth)
                    .and_then(|()| first_error(self.node.socket.batch(&filter)))
                    .and_then(|()| first_error(self.node.socket.batch(&follow)))
            }
        };
        self.pinned.insert((place, index, mac));
        let followed = followed.and_then(|()| self.forget_elsewhere(veth, mac));
        self.expected_filters.insert((place, index));
        if followed.is_err() {
            // The first error is reported; the next pass removes what this one leaves behind.
            let _ = self.remove(&[(place, index)]);
        }
        followed.map_err(Refused::Follow)
    }

    /// The requested MAC address, or a derived one, if no other link on that bridge has it: another tenant's
    /// link may request it.
    fn free_mac(
        &self,
        (want, veth): (&Want, &Veth),
        bridge: Option<u32>,
    ) -> Result<[u8; 6], Error> {
        let mac = want.mac(None);
        let is_free = |mac| !self.has_mac((want, veth), bridge, mac);
        let other = want.derived.of_link;
        match want.link.mac {
            _ if is_free(mac) => Ok(mac),
            None if is_free(other) => Ok(other),
            None | Some(_) => Err(taken(mac)),
        }
    }

    /// Whether another link of ours on that bridge, another port or the bridge itself has the MAC address.
    fn has_mac(&self, (want, veth): (&Want, &Veth), bridge: Option<u32>, mac: [u8; 6]) -> bool {
        let place = veth.host_end.place();
        let watched = self.host_netns(place);
        let is_port_of_node = mac == PORT_OF_NODE && place == HostNetns::Node;
        let is_on_it = |info: &LinkInfo| info.master == bridge;
        let is_ours = |info: &LinkInfo| info.is_kind(VETH) && is_host_end_name(&info.name);
        let is_pinned = || {
            let pins = self.pinned.iter();
            let of_mac = pins.filter(|(at, _, pinned)| (*at, *pinned) == (place, mac));
            let mut ports = of_mac.filter_map(|(_, port, _)| watched.links.get(port));
            ports.any(|info| is_on_it(info) && is_ours(info) && info.name != want.host_name)
        };
        // The bridge's own address or an uplink's: with it a pod would receive the node's traffic.
        let is_foreign = || {
            let mut of_mac = watched.links.values().filter(|info| info.mac == Some(mac));
            of_mac.any(|info| Some(info.index) == bridge || is_on_it(info) && !is_ours(info))
        };
        is_port_of_node || bridge.is_some() && (is_pinned() || is_foreign())
    }

    /// Adds a created link to the cache before its event arrives.
    fn expect(
        &mut self,
        (place, index): (HostNetns, u32),
        (want, veth): (&Want, &Veth),
        bridge: Option<u32>,
        mac: [u8; 6],
    ) {
        let info = LinkInfo {
            index,
            name: want.host_name.clone(),
            up: true,
            mtu: want.host_mtu,
            mac: Some(veth.host_end.own_mac(mac)),
            alias: Some(want.mark.to_string()),
            master: bridge,
            kind: Some(VETH.into()),
            ..LinkInfo::default()
        };
        self.host_netns_mut(place).links.insert(index, info);
    }

    /// The sysctls of a new host end. Before it is up.
    fn quieten(&self, want: &Want, veth: &Veth) -> Result<(), Error> {
        let mut settings = settings::of(&veth.host_end).iter();
        settings
            .try_for_each(|(setting, value)| self.set_host_end(&want.host_name, *setting, value))
    }

    fn set_host_end(&self, name: &str, setting: Setting, value: &str) -> Result<(), Error> {
        let path = setting.path(name);
        let set = self.procfs.ensure(&path, value);
        set.map(drop)
            .map_err(|e| Error::io(format!("set {path}"), &e))
    }

    /// Sets up the pod end of a new link.
    fn finish(sandbox: &mut Sandbox, want: &Want, index: u32) -> Result<(), Error> {
        let link = &want.link;
        let messages = pod_side_requests(want, index);
        let answers = sandbox.apply(&requests::settings(&link.name, link), &messages)?;
        first_error(answers)
    }

    /// Rules belong to the pod, not to a link: they select routing tables.
    pub fn apply_rules(sandbox: &mut Sandbox, requests: &[Request]) -> Result<(), Error> {
        first_error(sandbox.apply(&[], requests)?)
    }

    /// The ifindex of the bridge for the link's host end; a namespace's bridge is created with its first
    /// link. A segment's exists before its links are made.
    fn bridge_for(&mut self, veth: &Veth) -> Result<Option<u32>, Error> {
        match &veth.host_end {
            HostEnd::Routed => Ok(None),
            HostEnd::Segment(segment) => match self.bridge_index(&segment.name) {
                Some(bridge) => Ok(Some(bridge)),
                None => Err(no_bridge(segment)),
            },
            HostEnd::HostBridge(name) => Ok(self.node.link_called(name).map(|info| info.index)),
            HostEnd::Bridge { name, stands_for } => self.bridge(name, stands_for).map(Some),
        }
    }

    /// The ifindex of a bridge in the switch, which is created if missing.
    fn bridge(&mut self, name: &str, stands_for: &str) -> Result<u32, Error> {
        if let Some(index) = self.bridge_index(name) {
            return Ok(index);
        }
        let index = self.switch.take_index();
        let alias = bridge_alias(&self.installation, stands_for);
        let create = bridge::create(name, index, &alias);
        first_error(self.switch.socket.batch(&create))?;
        self.bridges.insert(name.to_owned(), index);
        let info = LinkInfo {
            index,
            name: name.to_owned(),
            up: true,
            alias: Some(alias),
            kind: Some("bridge".into()),
            ..LinkInfo::default()
        };
        self.switch.links.insert(index, info);
        Ok(index)
    }

    pub fn host_netns(&self, place: HostNetns) -> &WatchedNetns {
        match place {
            HostNetns::Switch => &self.switch,
            HostNetns::Node => &self.node,
        }
    }

    pub fn host_netns_mut(&mut self, place: HostNetns) -> &mut WatchedNetns {
        match place {
            HostNetns::Switch => &mut self.switch,
            HostNetns::Node => &mut self.node,
        }
    }
}

/// The ifindexes and MAC address of a created or changed link.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// `None`: the link is in the pod as a whole.
    pub host: Option<(HostNetns, u32)>,
    pub pod: u32,
    pub bridge: Option<u32>,
    pub mac: [u8; 6],
}

/// The message that the kernel refused when a link was created.
enum Refused {
    Create(Error),
    Follow(Error),
}

impl Refused {
    /// Whether another ifindex may succeed.
    fn is_index(&self) -> bool {
        matches!(self, Self::Create(error) if matches!(error.errno, Errno::EBUSY | Errno::EEXIST))
    }
}

/// Unexpected: the planner checks that the parent exists.
fn no_parent(what: &impl fmt::Display) -> Error {
    Error::new(format!("find the parent of {what}"), Errno::ENODEV, "")
}

/// Unexpected: the segment is reconciled before its links.
fn no_bridge(segment: &Segment) -> Error {
    Error::new(format!("find the bridge of {segment}"), Errno::ENOENT, "")
}

fn taken(mac: [u8; 6]) -> Error {
    let spelled = mac.map(|byte| format!("{byte:02x}")).join(":");
    let op = format!("give the link the MAC address {spelled}");
    let text = "another port of the bridge, or the bridge itself, has it";
    Error::new(op, Errno::EADDRINUSE, text)
}
