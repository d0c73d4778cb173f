//! The node: network namespaces, the switch, links. Independent of Kubernetes.
//!
//! The kernel is the database: the state in memory is a cache of it, updated by events, and can be dropped
//! and read again at any time.

/// Applies steps: the only place where links are created, changed and removed.
pub mod apply;
/// Links that other programs make in a pod.
pub mod attached;
/// Namespaces that are reachable only by nsid.
mod detached_netns;
/// Sockets for kernel notifications.
pub mod event_socket;
/// The filter that lets only peers into a tunnel.
pub mod filter;
/// Our addresses and routes on host ends in the node's namespace.
mod host_end_l3;
/// Dumps of a namespace's IP tables.
mod ip_dump;
/// Kernel events: cache updates, and events for the reconciler.
mod kernel_events;
/// A decoded link.
pub mod link_info;
/// Links, wanted and present, and their netlink messages; pure.
pub mod links;
/// A blocking rtnetlink socket.
pub mod netlink;
/// Which networks a kernel knows in one namespace.
pub mod networks;
/// The owners of host ends.
mod ownership;
/// What a bridge does with the frames of a port.
pub mod port;
/// The links of ours in a pod.
pub mod present;
/// Address conflict detection (RFC 5227).
pub mod probe;
/// Network sysctls, which netlink does not cover.
pub mod procfs;
/// Batched removal of links.
pub mod remove;
/// Access to one pod's namespace.
pub mod sandbox;
/// Segments: devices, VTEP peers, node addresses.
mod segments;
/// podconfig's own network namespace on this node.
pub mod switch;
/// Removes an installation's kernel state.
mod teardown;
/// Verification of a namespace from an unverified source.
pub mod verify_netns;
/// A permanently watched namespace.
pub mod watched_netns;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use sandbox_record::{
    Record,
    netns::{Netns, NetnsFolders},
};

pub use kernel_events::{KernelEvent, NetnsEvent};

use self::{
    event_socket::EventSocket,
    filter::Filter,
    host_end_l3::HostEndL3,
    link_info::LinkInfo,
    links::{HostNetns, bridge, requests},
    netlink::{Changes, Error},
    ownership::Ownership,
    port::Port,
    procfs::Procfs,
    sandbox::{Sandbox, Unreachable},
    switch::{Maker, Pin},
    watched_netns::WatchedNetns,
};

/// All access of the daemon to this node's kernel.
pub struct Machine {
    pub installation: String,
    pub changes: Changes,
    pub pin: Pin,
    pub switch: WatchedNetns,
    pub node: WatchedNetns,
    procfs: Procfs,
    folders: NetnsFolders,
    boot_id: String,
    /// Bridges in the switch by name.
    bridges: HashMap<String, u32>,
    /// The owners of host ends.
    ownership: Ownership,
    /// Pinned entries of the forwarding tables: port and MAC address.
    pinned: BTreeSet<(HostNetns, u32, [u8; 6])>,
    /// Our addresses and routes on host ends in the node's namespace; `None`: to be read.
    host_end_l3: Option<HostEndL3>,
    /// Host ends whose addresses or routes were found missing at the last read.
    losers: Vec<u32>,
    /// Host ends whose ingress filter was just written; the kernel's notification is pending.
    expected_filters: HashSet<(HostNetns, u32)>,
    pub filter: Filter,
    /// Devices of segments, in the switch, by name.
    devices: HashMap<String, u32>,
    /// Tunnel peers in the switch, by ifindex of the device.
    peers: HashMap<u32, BTreeSet<IpAddr>>,
    /// The node's own addresses and the ifindexes of their links; `None`: not read yet.
    own_addresses: Option<Vec<(u32, IpAddr)>>,
    /// Links of the node that were moved to another namespace, by name.
    moved: HashSet<String>,
    /// Events were lost and the cache was not rebuilt since.
    is_behind: bool,
    /// Links whose setup failed; removed together at the end of the pass.
    pub unfinished: Vec<(HostNetns, u32)>,
    /// Bridges in the switch whose uplink was created, raised or extended in this pass.
    pub uplink_changes: Vec<(u32, UplinkChange)>,
}

/// A change of a segment's uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UplinkChange {
    /// Remote neighbours may have stale entries for the pods, or none.
    Opened,
    /// It reaches more VTEPs than before.
    Extended,
}

impl Machine {
    pub fn open(
        installation: &str,
        (switch_folder, maker): (&Path, Maker),
        netns_folders: &[PathBuf],
    ) -> io::Result<Self> {
        let changes = Changes::default();
        let procfs = Procfs::open()?;
        let pin = Pin::open(switch_folder, installation, maker, &procfs, &changes)?;
        let own = || Netns::own().map_err(io::Error::other);
        let again = |netns: &Netns| {
            use std::os::fd::AsFd;
            let fd = netns.as_fd().try_clone_to_owned()?;
            Netns::from_fd(fd).map_err(io::Error::other)
        };
        let of_switch = || Ok((EventSocket::of_all_netns()?, EventSocket::of_tables(false)?));
        let switch = WatchedNetns::open(again(&pin.netns)?, &changes, of_switch)
            .map_err(io::Error::other)?;
        let of_node = || Ok((EventSocket::of_links()?, EventSocket::of_tables(true)?));
        let node = WatchedNetns::open(own()?, &changes, of_node).map_err(io::Error::other)?;
        let mut machine = Self {
            installation: installation.into(),
            changes: changes.clone(),
            pin,
            switch,
            node,
            procfs,
            folders: NetnsFolders::new(netns_folders),
            boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
                .trim()
                .into(),
            bridges: HashMap::new(),
            ownership: Ownership::default(),
            pinned: BTreeSet::new(),
            host_end_l3: None,
            losers: Vec::new(),
            expected_filters: HashSet::new(),
            filter: Filter::open(installation, &changes).map_err(io::Error::other)?,
            devices: HashMap::new(),
            peers: HashMap::new(),
            own_addresses: None,
            moved: HashSet::new(),
            is_behind: false,
            unfinished: Vec::new(),
            uplink_changes: Vec::new(),
        };
        machine.rebuild_cache().map_err(io::Error::other)?;
        Ok(machine)
    }

    /// Checks whether a recorded pod's namespace exists, without entering it.
    pub fn find(&self, record: &Record) -> Result<(), Unreachable> {
        let left_behind = || {
            let opened = self.folders.open(&record.netns);
            opened.is_err_and(|error| error.is_gone())
        };
        match sandbox::open(&self.folders, record, &self.boot_id) {
            // A runtime that was killed may leave the file that the namespace was mounted on.
            Err(Unreachable::Untrusted(why)) if left_behind() => Err(Unreachable::Gone(why)),
            found => found.map(drop),
        }
    }

    /// Whether the pod's network namespace belongs to the node's own user namespace.
    pub fn owns(&self, record: &Record) -> Result<bool, Unreachable> {
        let netns = sandbox::open(&self.folders, record, &self.boot_id)?;
        netns
            .is_of_own_user_namespace()
            .map_err(|error| Unreachable::Untrusted(error.to_string()))
    }

    /// Opens a recorded pod's namespace and assigns it an nsid in the switch, so that its events arrive
    /// there.
    pub fn visit(&mut self, record: &Record) -> Result<Sandbox, Unreachable> {
        let netns = sandbox::open(&self.folders, record, &self.boot_id)?;
        let in_switch = self.switch.nsid_of(&netns)?;
        Ok(Sandbox::new(netns, in_switch, &self.procfs, &self.changes)?)
    }

    /// Whether a host end still has the alias that it was given.
    pub fn is_marked(&self, place: HostNetns, info: &LinkInfo) -> bool {
        self.ownership.is_marked(place, info)
    }

    /// Rebuilds the cache; returns whether state without events has drifted.
    pub fn check(&mut self) -> Result<bool, Error> {
        let l3 = self.host_end_l3.clone();
        let before = (self.pinned.clone(), self.peers.clone(), self.ports());
        self.read_again()?;
        let l3_differs = match l3 {
            Some(l3) if !l3.is_stale => *self.read_host_end_l3()? != l3,
            _ => false,
        };
        Ok(l3_differs || before != (self.pinned.clone(), self.peers.clone(), self.ports()))
    }

    /// Our addresses and routes on host ends in the node's namespace.
    pub fn read_host_end_l3(&mut self) -> Result<&HostEndL3, Error> {
        if self.host_end_l3.as_ref().is_none_or(|l3| l3.is_stale) {
            let now = HostEndL3::read(&mut self.node.socket)?;
            let before = self.host_end_l3.replace(now);
            // Losses must be kept: the next comparison would not show them.
            let losers = before.zip(self.host_end_l3.as_ref());
            self.losers
                .extend(losers.iter().flat_map(|(before, now)| before.lost(now)));
        }
        Ok(self.host_end_l3.get_or_insert_default())
    }

    /// The addresses and routes of a deleted link are gone without a notification of their own.
    fn forget_gone(&mut self, before: Option<&LinkInfo>, now: Option<&LinkInfo>) {
        if let (Some(before), None, Some(l3)) = (before, now, &mut self.host_end_l3) {
            l3.forget(before.index);
        }
    }

    /// The flags of each bridge port in the switch.
    fn ports(&self) -> HashMap<u32, Option<Port>> {
        let ports = self
            .switch
            .links
            .values()
            .filter(|info| info.master.is_some());
        ports.map(|info| (info.index, info.port)).collect()
    }

    /// Reads everything again and rebuilds the cache.
    pub fn read_again(&mut self) -> Result<(), Error> {
        self.switch.read_all()?;
        self.node.read_all()?;
        self.host_end_l3 = None;
        self.rebuild_cache()
    }

    /// Updates the cache with one link event.
    pub fn update_cache(
        &mut self,
        place: HostNetns,
        before: Option<&LinkInfo>,
        now: Option<&LinkInfo>,
    ) {
        match (before, now) {
            (_, Some(info)) => self.ownership.see(place, info, &self.installation),
            (Some(info), None) => self.ownership.forget(place, info.index),
            (None, None) => (),
        }
        if let (Some(info), None) = (before, now) {
            for mac in self.pins_on(place, info.index) {
                self.pinned.remove(&(place, info.index, mac));
            }
            self.expected_filters.remove(&(place, info.index));
        }
        match place {
            HostNetns::Switch => {
                self.update_bridge(before, now);
                self.update_device(before, now);
            }
            HostNetns::Node => {
                self.update_leaving(before, now);
                self.forget_gone(before, now);
            }
        }
    }

    fn update_bridge(&mut self, before: Option<&LinkInfo>, now: Option<&LinkInfo>) {
        if let Some(info) = now.filter(|info| info.is_kind("bridge")) {
            self.bridges.insert(info.name.clone(), info.index);
        }
        if let (Some(info), None) = (before.filter(|info| info.is_kind("bridge")), now) {
            // Events are coalesced: another link may have the name by now.
            if self.bridges.get(&info.name) == Some(&info.index) {
                self.bridges.remove(&info.name);
            }
        }
    }

    fn rebuild_cache(&mut self) -> Result<(), Error> {
        let (switch, node) = (&self.switch, &self.node);
        self.ownership.retain_seen(|place, index| {
            let ns = if place == HostNetns::Switch {
                switch
            } else {
                node
            };
            ns.links.get(&index).cloned()
        });
        self.bridges.clear();
        self.devices.clear();
        let infos: Vec<(HostNetns, LinkInfo)> = [
            (HostNetns::Switch, &self.switch),
            (HostNetns::Node, &self.node),
        ]
        .into_iter()
        .flat_map(|(place, ns)| ns.links.values().map(move |info| (place, info.clone())))
        .collect();
        for (place, info) in infos {
            self.update_cache(place, None, Some(&info));
        }
        let pins = |place, ns: &mut WatchedNetns| -> Result<BTreeSet<_>, Error> {
            Ok(read_pins(ns)?
                .into_iter()
                .map(|(index, mac)| (place, index, mac))
                .collect())
        };
        self.pinned = pins(HostNetns::Switch, &mut self.switch)?;
        self.pinned.extend(pins(HostNetns::Node, &mut self.node)?);
        self.peers = segments::read_peers(&mut self.switch)?;
        Ok(())
    }

    pub fn bridge_index(&self, name: &str) -> Option<u32> {
        self.bridges.get(name).copied()
    }

    /// Enforces the switch's settings, the state of its bridges, and its pin.
    pub fn ensure_switch(&mut self, thoroughly: bool) -> io::Result<PinState> {
        if thoroughly {
            self.pin.enforce(&self.procfs)?;
        }
        let lowered = self
            .switch
            .links
            .values()
            .filter(|info| info.is_kind("bridge") && !info.up);
        let raise: Vec<_> = lowered
            .map(|info| requests::raise(&info.name, info.index))
            .collect();
        netlink::first_error(self.switch.socket.batch(&raise)).map_err(io::Error::other)?;
        match (self.pin.holds()?, self.pin.maker()) {
            (true, _) => Ok(PinState::Pinned),
            (false, Maker::Itself) => self.pin.pin().map(|()| PinState::Repinned),
            (false, Maker::Other) => Ok(PinState::Unpinned),
        }
    }
}

/// The state of the switch's pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinState {
    Pinned,
    /// It was missing and was restored.
    Repinned,
    /// It is missing, and another program is responsible for it.
    Unpinned,
}

fn read_pins(ns: &mut WatchedNetns) -> Result<Vec<(u32, [u8; 6])>, Error> {
    ns.socket.dump(
        "list forwarding entries",
        &bridge::list_macs(),
        |all: &mut Vec<_>, _, body| {
            all.extend(bridge::read_mac(body));
        },
    )
}
