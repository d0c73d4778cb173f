//! The machine: namespaces, the switch, links. Knows nothing of Kubernetes.
//!
//! The kernel is the database: what is here in memory is a reading of it, kept true by events, and
//! may be thrown away and read again at any time.

/// Steps applied: the only place where links are made, changed and removed.
pub mod act;
/// What of ours is on host ends in the node's namespace.
mod around;
/// The machine given back.
mod close;
/// What the kernel tells unasked.
pub mod events;
/// The filter that lets only peers into a tunnel.
pub mod filter;
/// One link as the kernel shows it.
pub mod link_info;
/// Links, wanted and present, and their netlink messages; pure.
pub mod links;
/// What the kernel told, taken in and told on.
mod listen;
/// A blocking rtnetlink socket.
pub mod netlink;
/// Which networks a kernel knows in one namespace.
pub mod networks;
/// Which host ends are whose.
mod ownership;
/// Which links of ours a pod has.
pub mod present;
/// Whether somebody on the wire has an address already.
pub mod probe;
/// Network settings that netlink does not know.
pub mod procfs;
/// A namespace that somebody only spoke of.
pub mod proof;
/// Links taken away, in sets.
pub mod remove;
/// A visit to one pod.
pub mod sandbox;
/// A namespace that the daemon lives beside for good.
pub mod space;
/// Namespaces that only their number leads to.
mod strays;
/// What segments are on, and what belongs to them.
mod surroundings;
/// podconfig's own network namespace on this node.
pub mod switch;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use cni_plugin::{
    netns::{Netns, NetnsFolders},
    record::Record,
};

pub use listen::{KernelEvent, NetnsEvent};

use self::{
    around::Around,
    events::Events,
    filter::Filter,
    link_info::{LinkInfo, Port},
    links::{Place, bridge, requests},
    netlink::{Changes, Error},
    ownership::Ownership,
    procfs::Procfs,
    sandbox::{Sandbox, Unreachable},
    space::Space,
    switch::{Maker, Pin},
};

/// Everything through which the daemon touches this machine.
pub struct Machine {
    pub installation: String,
    pub changes: Changes,
    pub pin: Pin,
    pub switch: Space,
    pub node: Space,
    procfs: Procfs,
    folders: NetnsFolders,
    boot_id: String,
    /// Bridges in the switch by name.
    bridges: HashMap<String, u32>,
    /// Whose the host ends are.
    ownership: Ownership,
    /// Pinned entries of the forwarding tables: port and MAC address.
    pinned: HashSet<(Place, u32, [u8; 6])>,
    /// What of ours is on host ends in the node's namespace; `None`: it is to be read.
    around: Option<Around>,
    /// Host ends that were seen to have lost something when that was read again.
    losers: Vec<u32>,
    /// Host ends whose ingress filter was just written, and is still to be told of.
    expected_filters: HashSet<(Place, u32)>,
    pub filter: Filter,
    /// Devices of segments, in the switch, by name.
    devices: HashMap<String, u32>,
    /// The other ends of tunnels in the switch, by the number of the device.
    peers: HashMap<u32, BTreeSet<IpAddr>>,
    /// The node's own addresses and the numbers of their links; `None`: nobody has asked yet.
    own_addresses: Option<Vec<(u32, IpAddr)>>,
    /// Links of the node that somebody took to another namespace, by name.
    moved: HashSet<String>,
    /// Events were lost, and what is known was not read again since.
    is_behind: bool,
    /// Links that could not be finished; they go together, when the pass has tried them all.
    pub unfinished: Vec<(Place, u32)>,
    /// Bridges in the switch whose way out was made, raised or led to more ends in this pass.
    pub ways_out: Vec<(u32, WayOut)>,
}

/// What has become of the way out of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// Those behind it may have found the pods elsewhere meanwhile, or not at all.
    Opened,
    /// It leads to more ends than before.
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
        let of_switch = || Ok((Events::of_all_netns()?, Events::of_tables(false)?));
        let switch =
            Space::open(again(&pin.netns)?, &changes, of_switch).map_err(io::Error::other)?;
        let of_node = || Ok((Events::of_links()?, Events::of_tables(true)?));
        let node = Space::open(own()?, &changes, of_node).map_err(io::Error::other)?;
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
            pinned: HashSet::new(),
            around: None,
            losers: Vec::new(),
            expected_filters: HashSet::new(),
            filter: Filter::open(installation, &changes).map_err(io::Error::other)?,
            devices: HashMap::new(),
            peers: HashMap::new(),
            own_addresses: None,
            moved: HashSet::new(),
            is_behind: false,
            unfinished: Vec::new(),
            ways_out: Vec::new(),
        };
        machine.read_by_heart().map_err(io::Error::other)?;
        Ok(machine)
    }

    /// Whether a recorded pod's namespace is there, without a visit.
    pub fn find(&self, record: &Record) -> Result<(), Unreachable> {
        let left_behind = || {
            let opened = self.folders.open(&record.netns);
            opened.is_err_and(|error| error.is_gone())
        };
        match sandbox::open(&self.folders, record, &self.boot_id) {
            // A runtime that was killed at it has left the file that the namespace was mounted on.
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

    /// Opens a recorded pod's namespace and makes sure that its events are heard.
    pub fn visit(&mut self, record: &Record) -> Result<Sandbox, Unreachable> {
        let netns = sandbox::open(&self.folders, record, &self.boot_id)?;
        let in_switch = self.switch.number_of(&netns)?;
        Ok(Sandbox::new(netns, in_switch, &self.procfs, &self.changes)?)
    }

    /// Whether a host end shows the mark that it was given.
    pub fn is_marked(&self, place: Place, row: &LinkInfo) -> bool {
        self.ownership.is_marked(place, row)
    }

    /// Reads all that is kept in memory anew, and says whether anything of what no event tells is
    /// otherwise than it was left.
    pub fn check(&mut self) -> Result<bool, Error> {
        let around = self.around.clone();
        let before = (self.pinned.clone(), self.peers.clone(), self.ports());
        self.read_again()?;
        let around_differs = match around {
            Some(around) if !around.is_stale => *self.read_around()? != around,
            _ => false,
        };
        Ok(around_differs || before != (self.pinned.clone(), self.peers.clone(), self.ports()))
    }

    /// What of ours is on host ends in the node's namespace.
    fn read_around(&mut self) -> Result<&Around, Error> {
        if self.around.as_ref().is_none_or(|around| around.is_stale) {
            let now = Around::read(&mut self.node.socket)?;
            let before = self.around.replace(now);
            // Whose loss is still to be told, it would be no news by then.
            let losers = before.zip(self.around.as_ref());
            self.losers
                .extend(losers.iter().flat_map(|(before, now)| before.lost(now)));
        }
        Ok(self.around.get_or_insert_default())
    }

    /// A link that is gone has lost all that was on it, and the kernel says nothing of it.
    fn remember_around(&mut self, before: Option<&LinkInfo>, now: Option<&LinkInfo>) {
        if let (Some(before), None, Some(around)) = (before, now, &mut self.around) {
            around.forget(before.index);
        }
    }

    /// What each port of the switch does with frames.
    fn ports(&self) -> HashMap<u32, Option<Port>> {
        let ports = self
            .switch
            .links
            .values()
            .filter(|row| row.master.is_some());
        ports.map(|row| (row.index, row.port)).collect()
    }

    /// Reads all that is kept in memory anew.
    pub fn read_again(&mut self) -> Result<(), Error> {
        self.switch.read_all()?;
        self.node.read_all()?;
        self.around = None;
        self.read_by_heart()
    }

    /// Keeps what is known by heart true to what was heard.
    pub(crate) fn remember(
        &mut self,
        place: Place,
        before: Option<&LinkInfo>,
        now: Option<&LinkInfo>,
    ) {
        match (before, now) {
            (_, Some(row)) => self.ownership.see(place, row, &self.installation),
            (Some(row), None) => self.ownership.forget(place, row.index),
            (None, None) => (),
        }
        if let (Some(row), None) = (before, now) {
            self.pinned
                .retain(|(at, index, _)| (*at, *index) != (place, row.index));
            self.expected_filters.remove(&(place, row.index));
        }
        match place {
            Place::Switch => {
                self.remember_bridge(before, now);
                self.remember_device(before, now);
            }
            Place::Node => {
                self.remember_leaving(before, now);
                self.remember_around(before, now);
            }
        }
    }

    fn remember_bridge(&mut self, before: Option<&LinkInfo>, now: Option<&LinkInfo>) {
        if let Some(row) = now.filter(|row| row.is_kind("bridge")) {
            self.bridges.insert(row.name.clone(), row.index);
        }
        if let (Some(row), None) = (before.filter(|row| row.is_kind("bridge")), now) {
            // Of a burst the last words are known, and by then another may have the name.
            if self.bridges.get(&row.name) == Some(&row.index) {
                self.bridges.remove(&row.name);
            }
        }
    }

    fn read_by_heart(&mut self) -> Result<(), Error> {
        let (switch, node) = (&self.switch, &self.node);
        self.ownership.retain_seen(|place, index| {
            let space = if place == Place::Switch { switch } else { node };
            space.links.get(&index).cloned()
        });
        self.bridges.clear();
        self.devices.clear();
        let rows: Vec<(Place, LinkInfo)> =
            [(Place::Switch, &self.switch), (Place::Node, &self.node)]
                .into_iter()
                .flat_map(|(place, space)| {
                    space.links.values().map(move |row| (place, row.clone()))
                })
                .collect();
        for (place, row) in rows {
            self.remember(place, None, Some(&row));
        }
        let pins = |place, space: &mut Space| -> Result<HashSet<_>, Error> {
            Ok(read_pins(space)?
                .into_iter()
                .map(|(index, mac)| (place, index, mac))
                .collect())
        };
        self.pinned = pins(Place::Switch, &mut self.switch)?;
        self.pinned.extend(pins(Place::Node, &mut self.node)?);
        self.peers = surroundings::read_peers(&mut self.switch)?;
        Ok(())
    }

    pub fn bridge_index(&self, name: &str) -> Option<u32> {
        self.bridges.get(name).copied()
    }

    /// Makes the switch's own settings, its bridges and its pin hold.
    pub fn keep_switch(&mut self, thoroughly: bool) -> io::Result<Kept> {
        if thoroughly {
            self.pin.enforce(&self.procfs)?;
        }
        let lowered = self
            .switch
            .links
            .values()
            .filter(|row| row.is_kind("bridge") && !row.up);
        let raise: Vec<_> = lowered
            .map(|row| requests::raise(&row.name, row.index))
            .collect();
        act::first_error(self.switch.socket.batch(&raise)).map_err(io::Error::other)?;
        match (self.pin.holds()?, self.pin.maker()) {
            (true, _) => Ok(Kept::Pinned),
            (false, Maker::Itself) => self.pin.pin().map(|()| Kept::PinnedAgain),
            (false, Maker::Other) => Ok(Kept::Unpinned),
        }
    }
}

/// How the switch's pin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Pinned,
    /// It was not, and is now.
    PinnedAgain,
    /// It is not, and to pin it is another program's.
    Unpinned,
}

fn read_pins(space: &mut Space) -> Result<Vec<(u32, [u8; 6])>, Error> {
    space.socket.dump(
        "list forwarding entries",
        &bridge::list_macs(),
        |all: &mut Vec<_>, _, body| {
            all.extend(bridge::read_mac(body));
        },
    )
}
