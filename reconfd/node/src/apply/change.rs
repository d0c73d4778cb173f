//! Changes an existing link in place: the host side, the pod side, and the mark last.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use rtnetlink::LinkUnspec;

use super::{Made, taken};
use crate::{
    Machine,
    links::{
        GROUP, HostNetns, PodSide, Present, Veth, Want,
        edit::Edit,
        requests::{host_edit, ipv6_on, mark, pod_edit, settings, slaac},
    },
    netlink::{Error, Request, first_error},
    sandbox::Sandbox,
};

impl Machine {
    /// Changes an existing link in place.
    pub fn change(
        &mut self,
        sandbox: &mut Sandbox,
        present: &Present,
        (want, veth): (&Want, &Veth),
        edits: &[Edit],
    ) -> Result<Made, Error> {
        if edits.contains(&Edit::RenameHost) {
            self.rename_host_end(present, want)?;
        }
        let bridge = self.bridge_for(veth)?;
        let mac = want.mac(present.host.mac);
        if self.has_mac((want, veth), bridge, mac) {
            return Err(taken(mac));
        }
        let (place, index) = match edits.iter().find(|e| matches!(e, Edit::Move(_))) {
            Some(Edit::Move(to)) => (*to, self.move_host_end(present, *to)?),
            _ => (present.place, present.host.index),
        };
        self.harden(place, index, (want, veth), edits)?;
        let on_host = |is_late: bool| -> Vec<Request> {
            let edits_of = edits.iter().filter(|e| {
                !e.in_pod() && !e.hardens() && **e != Edit::Mark && e.is_late(edits) == is_late
            });
            edits_of
                .flat_map(|e| host_edit(e, index, (want, veth), bridge))
                .collect()
        };
        let answers = self.host_netns_mut(place).socket.batch(&on_host(false));
        self.remember_pins(edits, place, index);
        self.remember_losses(edits, index);
        first_error(answers)?;
        self.remember_port(edits, place, index);
        if edits.iter().any(|edit| matches!(edit, Edit::Pin(_))) {
            self.forget_elsewhere(veth, mac)?;
        }
        if let Some(pod) = &present.pod {
            Self::change_in_pod(sandbox, pod, want, edits)?;
        }
        first_error(self.host_netns_mut(place).socket.batch(&on_host(true)))?;
        self.forget_pins(edits, place, index);
        if edits.contains(&Edit::Mark) {
            let mark = mark(index, want);
            self.host_netns_mut(place).socket.change(mark)?;
            self.ownership
                .mark(place, index, want.mark.clone(), &want.host_name);
        }
        let pod = present.pod.as_ref().map_or(0, |pod| pod.index);
        Ok(Made {
            mac,
            host: Some((place, index)),
            pod,
            bridge,
        })
    }

    /// Applied one by one and before all other edits, which must not take effect without them.
    fn harden(
        &mut self,
        place: HostNetns,
        index: u32,
        (want, veth): (&Want, &Veth),
        edits: &[Edit],
    ) -> Result<(), Error> {
        for edit in edits.iter().filter(|edit| edit.hardens()) {
            match edit {
                Edit::HostSetting(setting, value) => {
                    self.set_host_end(&want.host_name, *setting, value)?;
                }
                edit => {
                    if *edit == Edit::Ingress {
                        self.expected_filters.insert((place, index));
                    }
                    let requests = host_edit(edit, index, (want, veth), None);
                    first_error(self.host_netns_mut(place).socket.batch(&requests))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn change_in_pod(
        sandbox: &mut Sandbox,
        pod: &PodSide,
        want: &Want,
        edits: &[Edit],
    ) -> Result<(), Error> {
        let is_mtu = |edit: &&Edit| matches!(edit, Edit::PodMtu);
        let of_pod = edits.iter().filter(|edit| edit.in_pod());
        let (mtu, others): (Vec<&Edit>, Vec<&Edit>) = of_pod.partition(is_mtu);
        let requests = |edits: Vec<&Edit>| -> Vec<Request> {
            let edits = edits.into_iter();
            edits.flat_map(|e| pod_edit(e, pod.index, want)).collect()
        };
        let (mtu, requests) = (requests(mtu), requests(others));
        if !mtu.is_empty() {
            first_error(sandbox.apply(&[], &mtu)?)?;
        }
        let settings = pod_settings(pod, want, edits);
        // Without a gap: the kernel announces the new MAC address when it is set.
        let is_announced = edits.iter().any(|edit| matches!(edit, Edit::PodMac(_)));
        let answers = match is_announced && pod.name == want.link.name {
            true => sandbox.apply_and_announce(&settings, (pod.index, &pod.name), &requests)?,
            false => sandbox.apply(&settings, &requests)?,
        };
        let refused = first_error(answers);
        if edits.contains(&Edit::ForgetNeighbours) {
            sandbox.forget_neighbours(pod.index)?;
        }
        match &refused {
            // Before Linux 6.2 a link that is up cannot be renamed.
            Err(Error {
                errno: Errno::EBUSY,
                ..
            }) if edits.contains(&Edit::Rename) => {
                let down = LinkUnspec::new_with_index(pod.index).down().build();
                let mut again = vec![Request::new(
                    format!("lower {}", pod.name),
                    0,
                    RouteNetlinkMessage::SetLink(down),
                )];
                again.extend(pod_edit(&Edit::Rename, pod.index, want));
                again.extend(pod_edit(&Edit::RaisePod, pod.index, want));
                again.extend(requests);
                sandbox.apply(&[], &again).map(drop)
            }
            _ => refused,
        }
    }

    /// Notifications of port flags come in the AF_BRIDGE family, which the link socket filters out.
    fn remember_port(&mut self, edits: &[Edit], place: HostNetns, index: u32) {
        let set = edits.iter().find_map(|edit| match edit {
            Edit::Port(port) => Some(*port),
            _ => None,
        });
        if let (Some(port), Some(info)) = (set, self.host_netns_mut(place).links.get_mut(&index)) {
            info.port = Some(port);
        }
    }

    /// Before Linux 6.2 a link that is up cannot be renamed; the next pass restores what it loses when it is
    /// set down.
    fn rename_host_end(&mut self, present: &Present, want: &Want) -> Result<(), Error> {
        let index = present.host.index;
        let link = || LinkUnspec::new_with_index(index);
        let set = |message| {
            let op = format!("rename {} to {}", present.host.name, want.host_name);
            Request::new(op, 0, RouteNetlinkMessage::SetLink(message))
        };
        let rename = || set(link().name(want.host_name.clone()).build());
        let socket = &mut self.host_netns_mut(present.place).socket;
        match socket.change(rename()) {
            Err(error) if error.errno == Errno::EBUSY => {
                let again = [
                    set(link().down().build()),
                    rename(),
                    set(link().up().build()),
                ];
                first_error(socket.batch(&again))
            }
            renamed => renamed,
        }
    }

    /// Moves the host end to the other namespace; returns its ifindex there.
    fn move_host_end(&mut self, present: &Present, to: HostNetns) -> Result<u32, Error> {
        let index = self.host_netns_mut(to).take_index();
        let fd = self.host_netns_mut(to).netns.as_fd().as_raw_fd();
        let group = if to == HostNetns::Node { GROUP } else { 0 };
        // Set down before the move: it must not send in the node's namespace before its settings hold.
        let mut away = LinkUnspec::new_with_index(present.host.index)
            .down()
            .link_group(group)
            .setns_by_fd(fd)
            .build();
        let new_index = i32::try_from(index).unwrap_or_default();
        away.attributes
            .push(netlink_packet_route::link::LinkAttribute::NewIfIndex(
                new_index,
            ));
        let op = format!("move {} to another namespace", present.host.name);
        self.host_netns_mut(present.place)
            .socket
            .change(Request::new(op, 0, RouteNetlinkMessage::SetLink(away)))?;
        Ok(index)
    }

    /// Removes deliberately deleted addresses and routes from the cache, so that their events are not taken
    /// for drift.
    fn remember_losses(&mut self, edits: &[Edit], index: u32) {
        let Some(host_end_l3) = &mut self.host_end_l3 else {
            return;
        };
        for edit in edits {
            match edit {
                Edit::DeleteHostAddress(network) => {
                    host_end_l3.remove_address(index, network);
                }
                Edit::DeleteHostRoute(route) => {
                    host_end_l3.remove_route(index, route);
                }
                _ => (),
            }
        }
    }

    fn remember_pins(&mut self, edits: &[Edit], place: HostNetns, index: u32) {
        for edit in edits {
            if let Edit::Pin(mac) = edit {
                self.pinned.insert((place, index, *mac));
            }
        }
    }

    fn forget_pins(&mut self, edits: &[Edit], place: HostNetns, index: u32) {
        for edit in edits {
            if let Edit::Unpin(mac) = edit {
                self.pinned.remove(&(place, index, *mac));
            }
        }
    }
}

/// The sysctls of the edits, by the current name of the link.
fn pod_settings(pod: &PodSide, want: &Want, edits: &[Edit]) -> Vec<(String, &'static str)> {
    let of = |edit: &Edit| match edit {
        // A link whose MTU grows beyond 1280 gets IPv6, with the settings of a new link.
        Edit::PodMtu => settings(&pod.name, &want.link),
        Edit::Slaac(accept) => slaac(&pod.name, *accept),
        Edit::Ipv6On => vec![ipv6_on(&pod.name)],
        _ => Vec::new(),
    };
    edits.iter().flat_map(of).collect()
}
