//! Pure: wanted and present links of one pod → the steps that bring present nearer to wanted.

use std::collections::{BTreeSet, HashMap};

use crds::Reason;

use crate::node::{
    links::{
        HostEnd, Kind, Place, Present, Want,
        edit::{Edit, edits},
        route::Rule,
    },
    row::Row,
};

/// One change that brings present nearer to wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create(Box<Want>),
    Change {
        present: Box<Present>,
        want: Box<Want>,
        edits: Vec<Edit>,
    },
    /// A host end, and with it the link.
    Remove {
        place: Place,
        index: u32,
        link: String,
    },
    AddRule(Rule),
    DeleteRule(Rule),
}

/// A granted link that the machine is not ready for.
#[derive(Clone, Debug, PartialEq)]
pub struct Hindered {
    pub link: String,
    pub reason: Reason,
    pub message: String,
}

#[derive(Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub hindered: Vec<Hindered>,
}

/// A link of the node that a host end shall join, as it is now.
pub trait Bridges {
    /// The number of a namespace's bridge in the switch, once it is made.
    fn of_namespace(&self, name: &str) -> Option<u32>;
    fn of_node(&self, name: &str) -> Option<&Row>;
}

/// What is known of one pod when its steps are decided.
pub struct Situation<'a, B> {
    pub granted: Vec<Want>,
    pub present: Vec<Present>,
    /// Host ends of sandboxes that the pod had before.
    pub stale: Vec<(Place, u32)>,
    /// All links in the pod.
    pub inside: &'a HashMap<u32, Row>,
    pub rules: &'a BTreeSet<Rule>,
    pub bridges: &'a B,
}

pub fn plan<B: Bridges>(situation: Situation<'_, B>) -> Plan {
    let Situation {
        granted,
        mut present,
        stale,
        inside,
        rules,
        bridges,
    } = situation;
    let mut plan = Plan::default();
    plan.rules(&granted, rules);
    let mut joined = BTreeSet::new();
    for mut want in granted {
        let place = present.iter().position(|p| {
            p.mark
                .as_ref()
                .is_some_and(|mark| mark.link == want.link.name)
        });
        let now = place.map(|place| present.swap_remove(place));
        let twice = second_port(&want, bridges, &mut joined);
        match twice.or_else(|| hindrance(&mut want, now.as_ref(), inside, bridges)) {
            Some((reason, message)) => plan.hindered.push(Hindered {
                link: want.link.name,
                reason,
                message,
            }),
            None => plan.towards(want, now, bridges),
        }
    }
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
    fn towards<B: Bridges>(&mut self, want: Want, now: Option<Present>, bridges: &B) {
        let Some(present) = now else {
            self.steps.push(Step::Create(Box::new(want)));
            return;
        };
        match edits(&present, &want, bridge_number(&want, bridges)) {
            Some(edits) if edits.is_empty() => (),
            Some(edits) => self.steps.push(Step::Change {
                present: Box::new(present),
                want: Box::new(want),
                edits,
            }),
            None => {
                self.steps.push(Step::Remove {
                    place: present.place,
                    index: present.host.index,
                    link: want.link.name.clone(),
                });
                self.steps.push(Step::Create(Box::new(want)));
            }
        }
    }

    /// A route in a table of its own is used by what comes from the link's addresses.
    fn rules(&mut self, granted: &[Want], present: &BTreeSet<Rule>) {
        let wanted: BTreeSet<Rule> = granted
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
                        .map(move |table| Rule { from, table })
                })
            })
            .collect();
        self.steps
            .extend(present.difference(&wanted).cloned().map(Step::DeleteRule));
        self.steps
            .extend(wanted.difference(present).cloned().map(Step::AddRule));
    }

    /// Whether anything is sent to the kernel at all.
    pub fn is_quiet(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Two names may lead to one bridge of the node: a pod with two ports on it could make a loop.
fn second_port<B: Bridges>(
    want: &Want,
    bridges: &B,
    joined: &mut BTreeSet<u32>,
) -> Option<(Reason, String)> {
    let Kind::Veth(veth) = &want.link.kind;
    let HostEnd::HostBridge(name) = &veth.host_end else {
        return None;
    };
    let index = bridges.of_node(name)?.index;
    let message = || format!("the pod has another link on the bridge {name:?}");
    (!joined.insert(index)).then(|| (Reason::SameSegment, message()))
}

/// What keeps a granted link from being made or mended now. A link that is there stays as it is.
fn hindrance<B: Bridges>(
    want: &mut Want,
    now: Option<&Present>,
    inside: &HashMap<u32, Row>,
    bridges: &B,
) -> Option<(Reason, String)> {
    let Kind::Veth(veth) = &want.link.kind;
    if let HostEnd::HostBridge(name) = &veth.host_end {
        let Some(row) = bridges.of_node(name) else {
            return Some((
                Reason::BridgeNotFound,
                format!("the node has no bridge {name:?}; the link follows when it appears"),
            ));
        };
        if !row.is_kind("bridge") {
            let kind = row.kind.as_deref().unwrap_or("link without a kind");
            return Some((
                Reason::NotABridge,
                format!("{name:?} is a {kind} on the node, not a bridge"),
            ));
        }
        if want.link.mtu > row.mtu {
            let message = format!(
                "mtu {} is more than the {} of the bridge {name:?}",
                want.link.mtu, row.mtu
            );
            return Some((Reason::MTUTooLarge, message));
        }
        want.host_mtu = row.mtu;
    }
    let own = now
        .and_then(|present| present.pod.as_ref())
        .map(|pod| pod.index);
    let other = inside
        .values()
        .find(|row| Some(row.index) != own && row.is_called(&want.link.name))?;
    let kind = other.kind.as_deref().unwrap_or("network");
    let message = format!(
        "the pod has a {kind} link {:?} that is not podconfig's; rename one of the two",
        want.link.name
    );
    Some((Reason::ForeignLink, message))
}

fn bridge_number<B: Bridges>(want: &Want, bridges: &B) -> Option<u32> {
    let Kind::Veth(veth) = &want.link.kind;
    match &veth.host_end {
        HostEnd::Routed => None,
        HostEnd::Bridge { name, .. } => bridges.of_namespace(name),
        HostEnd::HostBridge(name) => bridges.of_node(name).map(|row| row.index),
    }
}

#[cfg(test)]
mod tests;
