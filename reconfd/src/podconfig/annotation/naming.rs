//! Pure: which interface an element of the annotation is about, and whether podconfig has it to attach.

use std::collections::BTreeSet;

use cni::{names, selection::NetworkSelection};

use super::{Stored, definition, status_entry::StatusEntry};

/// What podconfig detaches of a pod at most; as many as elements are read.
const MOST_LEFT_OVER: usize = 32;

/// What a pod has, and what else is requested in it.
pub struct Naming<'a> {
    status: &'a [StatusEntry],
    /// What others have attached, such as Multus at pod start.
    others: Vec<&'a StatusEntry>,
    stored: &'a [Stored],
    taken: &'a BTreeSet<String>,
}

/// What the elements come to.
#[derive(Debug, Default)]
pub struct Named {
    /// The elements that podconfig attaches, each with its interface, in their order.
    pub own: Vec<(String, NetworkSelection)>,
    /// What others have attached, and no element lists.
    pub left_over: Vec<StatusEntry>,
}

impl<'a> Naming<'a> {
    pub fn new(
        status: &'a [StatusEntry],
        stored: &'a [Stored],
        taken: &'a BTreeSet<String>,
    ) -> Self {
        let is_stored = |entry: &&StatusEntry| {
            let mut stored = stored.iter();
            stored.any(|stored| stored.interface == entry.interface)
        };
        Self {
            status,
            others: status.iter().filter(|entry| !is_stored(entry)).collect(),
            stored,
            taken,
        }
    }

    /// What others have attached is left alone as long as an element lists it.
    pub fn name(&self, elements: Vec<NetworkSelection>) -> Named {
        let named = elements.iter().filter_map(|one| one.interface.clone());
        let mut claimed: BTreeSet<String> = named.collect();
        let (mut own, mut listed) = (Vec::new(), BTreeSet::new());
        for element in elements {
            let interface = match &element.interface {
                Some(interface) => interface.clone(),
                None => self.interface_of(&definition(&element), &claimed),
            };
            claimed.insert(interface.clone());
            match self.is_others(&definition(&element), &interface) {
                true => drop(listed.insert(interface)),
                false => own.push((interface, element)),
            }
        }
        let left_over = self.left_over(listed);
        Named { own, left_over }
    }

    /// The pod's own network has another interface, whatever its entry says. What podconfig takes from Multus is left
    /// over until `network-status` does not list it.
    fn left_over(&self, mut seen: BTreeSet<String>) -> Vec<StatusEntry> {
        let of_podconfig = self.stored.iter().filter(|stored| !stored.is_of_multus);
        seen.extend(of_podconfig.map(|stored| stored.interface.clone()));
        seen.extend(self.taken.iter().cloned());
        let mut left_over = Vec::new();
        for entry in self.status {
            let may_go = names::attached_interface(&entry.interface).is_ok();
            if may_go && seen.insert(entry.interface.clone()) && left_over.len() < MOST_LEFT_OVER {
                left_over.push(entry.clone());
            }
        }
        left_over
    }

    /// The interface of an element without a name: what the pod has of that definition and no other element claims,
    /// else the first free `net<N>`.
    fn interface_of(&self, definition: &str, claimed: &BTreeSet<String>) -> String {
        let others = self.others.iter();
        let others = others.filter(|entry| entry.definition == definition);
        let others = others.map(|entry| &entry.interface);
        let stored = self.stored.iter().filter(|stored| {
            stored.definition.as_deref() == Some(definition) && !stored.is_leaving
        });
        let mut present = others.chain(stored.map(|stored| &stored.interface));
        let found = present.find(|interface| !claimed.contains(*interface));
        found.cloned().unwrap_or_else(|| self.free_name(claimed))
    }

    fn free_name(&self, claimed: &BTreeSet<String>) -> String {
        let others = self.others.iter().map(|entry| &entry.interface);
        let stored = self.stored.iter().map(|stored| &stored.interface);
        let used: BTreeSet<&String> = others
            .chain(stored)
            .chain(claimed)
            .chain(self.taken)
            .collect();
        let names = (1..=used.len() + 1).map(|number| format!("net{number}"));
        let mut free = names.filter(|name| !used.contains(name));
        free.next().unwrap_or_default()
    }

    fn is_others(&self, definition: &str, interface: &str) -> bool {
        let mut others = self.others.iter();
        others.any(|entry| entry.definition == definition && entry.interface == interface)
    }
}
