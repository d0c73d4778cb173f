//! Steps applied: the only place where links are made and changed. What is sent is decided elsewhere.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use super::{
    Machine,
    links::{
        HostEnd, Kind, Place, Want, address, bridge,
        mark::{bridge_alias, is_host_end_name, other_end},
        requests::{host_side_requests, in_order, raise, slaac},
        route, veth,
    },
    netlink::{Error, Request},
    row::Row,
    sandbox::Sandbox,
    space::Space,
};

/// A link that is there, changed in place.
mod change;

/// Numbers that others took between our look and our message.
const INDEX_TRIES: u32 = 8;

impl Machine {
    /// Makes a link, whole or not at all; the pod end's number.
    pub fn create(
        &mut self,
        sandbox: &mut Sandbox,
        want: &Want,
        (namespace, pod): (&str, &str),
        pod_index: u32,
    ) -> Result<Made, Error> {
        let bridge = self.bridge_for(want)?;
        let mac = self.free_mac(want, bridge, (namespace, pod))?;
        let index = self.create_pair(sandbox, want, mac, pod_index, bridge)?;
        let finished = Self::finish(sandbox, want, index.pod);
        if finished.is_err() {
            self.unfinished.push((want.link.kind.place(), index.host));
        }
        finished.map(|()| Made { bridge, ..index })
    }

    fn create_pair(
        &mut self,
        sandbox: &mut Sandbox,
        want: &Want,
        mac: [u8; 6],
        pod_index: u32,
        bridge: Option<u32>,
    ) -> Result<Made, Error> {
        let place = want.link.kind.place();
        let mut pod_index = pod_index;
        for attempt in 0.. {
            let host_index = self.space(place).take_index();
            let ends = veth::Ends {
                host_name: &want.host_name,
                host_mtu: want.host_mtu,
                host_index,
                place,
                bridge,
                pod_index,
                pod_netns: sandbox.netns.as_fd().as_raw_fd(),
                mac,
            };
            let create = veth::create(&want.link, &ends);
            match self.create_host_side(want, create, host_index, mac) {
                Ok(()) => {
                    self.expect(place, host_index, want, bridge, mac);
                    return Ok(Made {
                        host: host_index,
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

    /// In the switch nobody else makes links, so the number is free and all goes in one send: where
    /// the first message fails, the others find no link. In the node's namespace somebody may have
    /// taken the number, and the others must wait for the first to succeed.
    fn create_host_side(
        &mut self,
        want: &Want,
        create: Request,
        index: u32,
        mac: [u8; 6],
    ) -> Result<(), Refused> {
        let follow = host_side_requests(want, index, mac);
        let place = want.link.kind.place();
        let followed = match place {
            Place::Switch => {
                let mut all = vec![create];
                all.extend(follow);
                let mut answers = self.switch.socket.batch(&all).into_iter();
                answers.next().unwrap_or(Ok(())).map_err(Refused::Create)?;
                first_error(answers.collect())
            }
            Place::Node => {
                self.node.socket.change(create).map_err(Refused::Create)?;
                self.quieten(want)
                    .and_then(|()| first_error(self.node.socket.batch(&follow)))
            }
        };
        self.pinned.insert((place, index, mac));
        if followed.is_err() {
            // The first error is the one to tell; what this one leaves, the next pass finds.
            let _ = self.remove(&[(place, index)]);
        }
        followed.map_err(Refused::Follow)
    }

    /// The MAC address that was asked for, or one of the link's own, if no other link of ours has it
    /// on that bridge. An address outlives the IP address that it was derived from.
    fn free_mac(
        &self,
        want: &Want,
        bridge: Option<u32>,
        (namespace, pod): (&str, &str),
    ) -> Result<[u8; 6], Error> {
        let derived = || want.link.derived_mac(namespace, pod);
        let mac = want.link.mac.unwrap_or_else(derived);
        match (self.has_mac(want, bridge, mac), want.link.mac) {
            (false, _) => Ok(mac),
            (true, None) => Ok(want.link.own_mac(namespace, pod)),
            (true, Some(_)) => Err(taken(mac)),
        }
    }

    /// Whether another link of ours on that bridge, another port or the bridge itself has the MAC address.
    fn has_mac(&self, want: &Want, bridge: Option<u32>, mac: [u8; 6]) -> bool {
        let space = match want.link.kind.place() {
            Place::Switch => &self.switch,
            Place::Node => &self.node,
        };
        bridge.is_some()
            && space.links.values().any(|row| {
                let is_ours = is_host_end_name(&row.name);
                match row.master == bridge {
                    true if is_ours => {
                        row.name != want.host_name && row.mac == Some(other_end(mac))
                    }
                    // The bridge's own, or an uplink's: with it a pod would take the node's traffic.
                    on_it => (on_it || Some(row.index) == bridge) && row.mac == Some(mac),
                }
            })
    }

    /// A link that was just made is known before its echo is heard.
    fn expect(&mut self, place: Place, index: u32, want: &Want, bridge: Option<u32>, mac: [u8; 6]) {
        let row = Row {
            index,
            name: want.host_name.clone(),
            up: true,
            mtu: want.host_mtu,
            mac: Some(other_end(mac)),
            alias: Some(want.mark.to_string()),
            master: bridge,
            kind: Some(want.link.kind.name().into()),
            ..Row::default()
        };
        self.space(place).links.insert(index, row);
    }

    /// A host end in the node's namespace takes no router advertisement, and on a bridge speaks no
    /// IPv6 of its own. Before it is up.
    fn quieten(&self, want: &Want) -> Result<(), Error> {
        let Kind::Veth(veth) = &want.link.kind;
        let name = &want.host_name;
        let settings: &[(&str, &str)] = match veth.host_end {
            HostEnd::Routed => &[("accept_ra", "0"), ("autoconf", "0")],
            HostEnd::Bridge { .. } | HostEnd::HostBridge(_) => {
                &[("accept_ra", "0"), ("autoconf", "0"), ("disable_ipv6", "1")]
            }
        };
        for (setting, value) in settings {
            let path = format!("ipv6/conf/{name}/{setting}");
            self.procfs
                .ensure(&path, value)
                .map_err(|e| Error::io(format!("set {path}"), &e))?;
        }
        if veth.host_end == HostEnd::Routed {
            let path = format!("ipv4/conf/{name}/rp_filter");
            self.procfs
                .ensure(&path, "1")
                .map_err(|e| Error::io(format!("set {path}"), &e))?;
        }
        Ok(())
    }

    /// The pod's side of a new link.
    fn finish(sandbox: &mut Sandbox, want: &Want, index: u32) -> Result<(), Error> {
        let link = &want.link;
        let mut requests = vec![raise(&link.name, index)];
        let prefix_route = veth::prefix_route(&link.kind);
        requests.extend(
            link.addresses
                .iter()
                .map(|network| address::add(index, *network, prefix_route)),
        );
        requests.extend(
            in_order(&veth::pod_routes(link))
                .into_iter()
                .map(|r| route::add(index, r)),
        );
        let answers = sandbox.act(&slaac(&link.name, link.slaac), &requests)?;
        first_error(answers)
    }

    /// Rules belong to the pod and to no link: they are what makes a table be asked.
    pub fn act_on_rules(sandbox: &mut Sandbox, requests: &[Request]) -> Result<(), Error> {
        first_error(sandbox.act(&[], requests)?)
    }

    fn quieten_if_node(&self, want: &Want) -> Result<(), Error> {
        match want.link.kind.place() {
            Place::Node => self.quieten(want),
            Place::Switch => Ok(()),
        }
    }

    /// The number of the bridge that the link's host end belongs on; a namespace's bridge is made
    /// here with its first link.
    fn bridge_for(&mut self, want: &Want) -> Result<Option<u32>, Error> {
        let Kind::Veth(veth) = &want.link.kind;
        match &veth.host_end {
            HostEnd::Routed => Ok(None),
            HostEnd::HostBridge(name) => Ok(self.node.link_called(name).map(|row| row.index)),
            HostEnd::Bridge { name, stands_for } => {
                if let Some(index) = self.bridge_index(name) {
                    return Ok(Some(index));
                }
                let index = self.switch.take_index();
                let alias = bridge_alias(&self.installation, stands_for);
                first_error(
                    self.switch
                        .socket
                        .batch(&bridge::create(name, index, &alias)),
                )?;
                self.guarded.insert(index);
                self.bridges.insert(name.clone(), index);
                Ok(Some(index))
            }
        }
    }

    pub fn space(&mut self, place: Place) -> &mut Space {
        match place {
            Place::Switch => &mut self.switch,
            Place::Node => &mut self.node,
        }
    }
}

/// The numbers of a link's parts.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    pub host: u32,
    pub pod: u32,
    pub bridge: Option<u32>,
    pub mac: [u8; 6],
}

/// Which message of a link's making the kernel refused.
enum Refused {
    Create(Error),
    Follow(Error),
}

impl Refused {
    /// Whether another number may help.
    fn is_index(&self) -> bool {
        matches!(self, Self::Create(error) if matches!(error.errno, Errno::EBUSY | Errno::EEXIST))
    }
}

fn taken(mac: [u8; 6]) -> Error {
    let spelled = mac.map(|byte| format!("{byte:02x}")).join(":");
    Error {
        deed: format!("give the link the MAC address {spelled}"),
        errno: Errno::EADDRINUSE,
        text: "another port of the bridge, or the bridge itself, has it".into(),
    }
}

/// The first failure in the order of the messages; later ones often only follow from it.
pub fn first_error(answers: Vec<Result<(), Error>>) -> Result<(), Error> {
    answers.into_iter().collect()
}
