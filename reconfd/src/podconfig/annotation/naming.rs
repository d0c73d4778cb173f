//! Pure: which interface an element of the annotation is about, and whether podconfig has it to attach.

use std::collections::BTreeSet;

use cni::selection::NetworkSelection;

use super::{Stored, definition, status_entry::StatusEntry};

/// What a pod has, and what else is requested in it.
pub struct Naming<'a> {
    /// What others have attached, such as Multus at pod start.
    others: Vec<&'a StatusEntry>,
    stored: &'a [Stored],
    taken: &'a BTreeSet<String>,
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
            others: status.iter().filter(|entry| !is_stored(entry)).collect(),
            stored,
            taken,
        }
    }

    /// The elements that podconfig attaches, each with its interface, in their order. What others have attached is left
    /// alone.
    pub fn name(&self, elements: Vec<NetworkSelection>) -> Vec<(String, NetworkSelection)> {
        let named = elements.iter().filter_map(|one| one.interface.clone());
        let mut claimed: BTreeSet<String> = named.collect();
        let mut all = Vec::new();
        for element in elements {
            let interface = match &element.interface {
                Some(interface) => interface.clone(),
                None => self.interface_of(&definition(&element), &claimed),
            };
            claimed.insert(interface.clone());
            if !self.is_others(&definition(&element), &interface) {
                all.push((interface, element));
            }
        }
        all
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
