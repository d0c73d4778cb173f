//! A pod whose steps were applied: its links as they are now, and what changed.

use std::{
    collections::{BTreeMap, HashMap},
    time::SystemTime,
};

use crds::Reason;
use nix::errno::Errno;
use node::{
    apply::Made,
    links::{Device, LinkKind, Want, edit::Edit},
    netlink::Error,
};

use super::{pod_links::PodLinks, present::made_link};
use crate::podconfig::desired::DesiredLink;

/// Made by `apply` alone, of a pod whose unwanted links were deleted.
pub struct Applied {
    pub links: PodLinks,
    pub changes: Changes,
}

/// What a pass changed of one pod.
#[derive(Default)]
pub struct Changes {
    /// Kernel errors, by link.
    pub errors: HashMap<String, Error>,
    /// Links that were created or changed, and when.
    pub touched: HashMap<String, SystemTime>,
    /// Deleted links.
    pub deleted: Vec<String>,
    /// Links whose drift was repaired, with their kinds.
    pub repaired: Vec<(String, &'static str)>,
    /// Links that were removed in the pod while they were being created.
    pub lost: Vec<String>,
    /// Links that neighbours must learn again, and whether they are new.
    pub moved: BTreeMap<String, bool>,
    /// A tunnel got other endpoints, which is no change of the link.
    pub has_followed: bool,
    /// Whether a link has gone to another bridge, or to none.
    pub has_left_a_bridge: bool,
}

impl Changes {
    /// Records a repair, once for each link.
    fn repaired(&mut self, link: &str, kind: &'static str) {
        if !self.repaired.iter().any(|(name, _)| name == link) {
            self.repaired.push((link.to_owned(), kind));
        }
    }
}

impl Applied {
    pub fn uid(&self) -> &str {
        self.links.uid()
    }

    /// Whether a link was created that another link of the pod is based on.
    pub fn created_a_carrier(&self) -> bool {
        self.links
            .desired
            .granted
            .iter()
            .any(|granted| match &granted.link.kind {
                LinkKind::Device(Device::Inside { carrier, .. }) => {
                    self.changes.touched.contains_key(carrier)
                }
                _ => false,
            })
    }

    /// Whether nothing happened, so that there is nothing to report but pending claims.
    pub fn only_claims(&self) -> bool {
        let is_claiming = |granted: &DesiredLink| {
            let suspended = granted.suspended.as_ref();
            suspended.is_some_and(|(reason, _)| *reason == Reason::ClaimPending)
        };
        self.links.trouble.is_none()
            && self.links.desired.granted.iter().any(is_claiming)
            && self.changes.errors.is_empty()
            && self.changes.touched.is_empty()
            && self.changes.deleted.is_empty()
            && self.changes.repaired.is_empty()
    }

    /// Whether anything was created or changed, so that kernel events of it are still to come.
    pub fn has_changed(&self) -> bool {
        self.changes.has_followed || !self.changes.touched.is_empty()
    }

    pub fn removed(&mut self, link: &str, removed: &Result<(), Error>) {
        match removed {
            Ok(()) => {
                self.links.present.remove(link);
                self.changes.deleted.push(link.into());
            }
            Err(error) => drop(self.changes.errors.insert(link.into(), error.clone())),
        }
    }

    /// An existing link that could not be deleted blocks the new one of the same name.
    pub fn may_create(&self, link: &str) -> bool {
        !self.changes.errors.contains_key(link)
    }

    pub fn made(&mut self, want: &Want, made: Result<Made, Error>) {
        match made {
            Ok(made) => {
                self.links
                    .present
                    .insert(want.link.name.clone(), made_link(want, &made));
                self.changes.moved.insert(want.link.name.clone(), true);
                self.done(want);
            }
            // The link existed a moment ago, or its first message would have failed.
            Err(error) if error.errno == Errno::ENODEV => {
                self.changes.lost.push(want.link.name.clone())
            }
            Err(error) => drop(self.changes.errors.insert(want.link.name.clone(), error)),
        }
    }

    pub fn changed(&mut self, want: &Want, changed: Result<Made, Error>) {
        match changed {
            Ok(made) => {
                self.links
                    .present
                    .insert(want.link.name.clone(), made_link(want, &made));
                self.done(want);
            }
            Err(error) if error.errno == Errno::ENODEV => {
                self.links.present.remove(&want.link.name);
                self.changes.lost.push(want.link.name.clone());
            }
            Err(error) => drop(self.changes.errors.insert(want.link.name.clone(), error)),
        }
    }

    /// Records that neighbours must learn the link again, if the edits require it.
    pub fn has_moved(&mut self, want: &Want, edits: &[Edit]) {
        if edits.iter().any(Edit::moves_addresses) {
            self.changes
                .moved
                .entry(want.link.name.clone())
                .or_insert(false);
        }
    }

    /// A change of endpoints is no change of the link, or each new node would change a link on all
    /// others. The repair of endpoints that were changed in the pod is one.
    pub fn followed(&mut self, want: &Want, changed: Result<Made, Error>) {
        match changed {
            Ok(made) if !self.links.drift.repairs.contains(&want.link.name) => {
                self.changes.has_followed = true;
                let present = made_link(want, &made);
                self.links.present.insert(want.link.name.clone(), present);
            }
            changed => self.changed(want, changed),
        }
    }

    /// Records the restored rules as repairs of their links.
    pub fn rules_restored(&mut self) {
        for (link, what) in std::mem::take(&mut self.links.drift.rule_repairs) {
            let kind = self.links.kind_of(&link);
            let parts = self.links.drift.parts.entry(link.clone()).or_default();
            if !parts.is_empty() {
                parts.push_str(", ");
            }
            parts.push_str(&what);
            self.changes.touched.insert(link.clone(), SystemTime::now());
            self.changes.repaired(&link, kind);
        }
    }

    fn done(&mut self, want: &Want) {
        let name = &want.link.name;
        self.changes.touched.insert(name.clone(), SystemTime::now());
        if self.links.drift.repairs.contains(name) {
            self.changes.repaired(name, want.link.kind.name());
        }
    }

    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        self.changes.errors.values()
    }
}
