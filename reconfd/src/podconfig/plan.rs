//! Pure: desired and present links of one pod → the steps that reconcile them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use crds::Reason;
use ipnetwork::IpNetwork;
use node::{
    links::{
        HostNetns, LinkKind, Present, PresentDevice, Want,
        device::Data,
        edit::Edit,
        route::{self, RoutingRule},
    },
    netlink::Request,
};

use super::{cause::Cause, node_view::NodeView, segments::device::SegmentTarget};

/// Vlans and vxlans inside the pod.
mod devices;
/// Kernels without an address family.
mod families;
/// Parent devices.
mod parent;
/// Links with a host end.
mod veth;
pub use devices::PodDevices;
use families::leave_out_ipv6;
pub use parent::must_go;

/// One change towards the desired state.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create(Box<Want>),
    Change {
        present: Box<Present>,
        want: Box<Want>,
        edits: Vec<Edit>,
    },
    /// The same for a device inside the pod.
    ChangeDevice {
        present: Box<PresentDevice>,
        want: Box<Want>,
        edits: Vec<Edit>,
    },
    /// A device inside the pod, or a pod end without its host end.
    RemoveDevice {
        index: u32,
        name: String,
        link: String,
    },
    /// A host end, and with it the link.
    Remove {
        place: HostNetns,
        index: u32,
        link: String,
    },
    AddRule(RoutingRule),
    DeleteRule(RoutingRule),
    /// Own devices that the pod has moved to namespaces of its own: there they would outlive their
    /// permission.
    RemoveMovedOut(Vec<MovedOut>),
}

/// A device outside of the pod: the pod's id of the namespace, and the index there.
pub type MovedOut = (i32, u32);

impl Step {
    /// The name of the link that it creates.
    pub fn made(&self) -> Option<&str> {
        match self {
            Self::Create(want) => Some(&want.link.name),
            _ => None,
        }
    }

    /// Whether it creates, changes or deletes one of these links.
    pub fn is_of(&self, links: &[String]) -> bool {
        match self {
            Self::Create(want) | Self::Change { want, .. } | Self::ChangeDevice { want, .. } => {
                links.contains(&want.link.name)
            }
            Self::Remove { link, .. } | Self::RemoveDevice { link, .. } => links.contains(link),
            Self::AddRule(_) | Self::DeleteRule(_) | Self::RemoveMovedOut(_) => false,
        }
    }

    pub fn rule_request(&self) -> Option<Request> {
        match self {
            Self::AddRule(rule) => Some(route::add_rule(rule)),
            Self::DeleteRule(rule) => Some(route::delete_rule(rule)),
            _ => None,
        }
    }
}

/// A granted link that cannot be applied now.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocked {
    pub link: String,
    pub reason: Reason,
    pub message: String,
}

#[derive(Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub blocked: Vec<Blocked>,
    /// The target of each link.
    pub targets: HashMap<String, Target>,
}

/// What a link should be beside its specification: a step towards another target is an own change,
/// not a repair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// An address allocated from a range may be replaced when it is lost.
    pub addresses: BTreeSet<IpNetwork>,
    /// As the lower device determines.
    pub mtu: u32,
    /// Local and remote endpoints of a tunnel inside the pod with discovered peers.
    pub own: Option<IpAddr>,
    pub others: BTreeSet<IpAddr>,
}

impl Target {
    pub fn of(want: &Want) -> Self {
        let kind = &want.link.kind;
        let found = kind.data().filter(|data| data.found().is_some());
        // The device of a segment is not a link: its repair is no repair of a link.
        let found = found.filter(|_| kind.is_device());
        let others = want.device.as_ref().filter(|_| found.is_some());
        Self {
            addresses: want.link.addresses.iter().copied().collect(),
            mtu: want.mtu,
            own: found.and_then(Data::own),
            others: others
                .map(|device| device.peers.clone())
                .unwrap_or_default(),
        }
    }
}

/// Everything that the planner needs to know of one pod.
pub struct PlanInput<'a, S> {
    pub granted: Vec<Want>,
    pub present: Vec<Present>,
    /// Host ends of earlier sandboxes of the pod.
    pub stale: Vec<(HostNetns, u32)>,
    pub inside: PodDevices<'a>,
    pub moved_out: Vec<MovedOut>,
    pub rules: &'a BTreeSet<RoutingRule>,
    /// The segments of its links, by name.
    pub segments: &'a BTreeMap<String, SegmentTarget>,
    pub node: &'a S,
}

pub fn plan<S: NodeView>(input: PlanInput<'_, S>) -> Plan {
    let PlanInput {
        mut granted,
        mut present,
        stale,
        mut inside,
        moved_out,
        rules,
        segments,
        node,
    } = input;
    let mut plan = Plan::default();
    if !moved_out.is_empty() {
        plan.steps.push(Step::RemoveMovedOut(moved_out));
    }
    if !inside.has_ipv6 {
        plan.blocked
            .extend(granted.iter_mut().filter_map(leave_out_ipv6));
    }
    plan.rules(&granted, rules);
    inside.make_place(&granted, &present);
    let mut joined = BTreeSet::new();
    for want in granted {
        let segment = want.link.kind.segment();
        let target = segment.and_then(|segment| segments.get(&segment.name));
        match want.link.kind.clone() {
            LinkKind::Device(device) => plan.device(want, (&device, target), &mut inside, node),
            LinkKind::Veth(veth) => {
                let is_this = |p: &Present| {
                    let mark = p.mark.as_ref();
                    mark.is_some_and(|mark| mark.link == want.link.name)
                };
                let place = present.iter().position(is_this);
                let now = place.map(|place| present.swap_remove(place));
                let duplicate = veth::second_port(&veth, node, &mut joined);
                plan.veth(want, (&veth, now), (duplicate, target), (&inside, node));
            }
        }
    }
    plan.without(inside);
    plan.steps.extend(present.iter().map(|unwanted| {
        Step::Remove {
            place: unwanted.place,
            index: unwanted.host.index,
            link: unwanted
                .mark
                .as_ref()
                .map_or_else(String::new, |mark| mark.link.clone()),
        }
    }));
    plan.steps
        .extend(stale.into_iter().map(|(place, index)| Step::Remove {
            place,
            index,
            link: String::new(),
        }));
    plan
}

impl Plan {
    /// A route in a table of its own applies to traffic from the link's addresses.
    fn rules(&mut self, granted: &[Want], present: &BTreeSet<RoutingRule>) {
        let wanted: BTreeSet<RoutingRule> = granted
            .iter()
            .flat_map(|want| {
                let tables: BTreeSet<u32> = want
                    .link
                    .routes
                    .iter()
                    .filter_map(|route| route.table)
                    .collect();
                let addresses = want.link.addresses.iter().map(|a| a.ip());
                addresses.flat_map(move |from| {
                    tables
                        .clone()
                        .into_iter()
                        .map(move |table| RoutingRule { from, table })
                })
            })
            .collect();
        self.steps
            .extend(present.difference(&wanted).cloned().map(Step::DeleteRule));
        self.steps
            .extend(wanted.difference(present).cloned().map(Step::AddRule));
    }

    /// Whether it has no steps.
    pub fn is_quiet(&self) -> bool {
        self.steps.is_empty()
    }
}

#[cfg(test)]
mod tests;
