//! Pure: releases claims, and verifies claims of pods that are not known here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    AllocatorState, ClaimName, ClaimOperation, Entry, Link, Now, Release, State, TOMBSTONE_TTL,
    TaskKey, Verify,
};

impl AllocatorState {
    /// Releases what the pod holds, except `kept` and what its links were assigned.
    pub fn retain(&mut self, uid: &str, kept: &BTreeMap<String, BTreeSet<IpAddr>>, now: &Now) {
        let links = self.links.remove(uid).unwrap_or_default();
        let (stay, go): (BTreeMap<_, _>, BTreeMap<_, _>) = links
            .into_iter()
            .partition(|(name, _)| kept.contains_key(name));
        for link in go.into_values() {
            self.cancel(link.waiting);
        }
        if !stay.is_empty() {
            self.links.insert(uid.to_owned(), stay);
        }
        for (name, addresses) in kept {
            if let Some(link) = self
                .links
                .get_mut(uid)
                .and_then(|links| links.get_mut(name))
            {
                link.lost.retain(|address| addresses.contains(address));
                // Assigned under an earlier specification, and no longer on the link.
                link.assigned.retain(|address| addresses.contains(address));
            }
        }
        let names = self.names.get(uid).cloned().unwrap_or_default();
        for name in names {
            if !self.is_kept(uid, &name, kept) {
                self.release(&name, now);
            }
        }
    }

    /// Keeps everything that these links of the pod hold, and releases the rest.
    pub fn retain_links(&mut self, uid: &str, links: &BTreeSet<String>, now: &Now) {
        let mut kept: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for name in self.names.get(uid).into_iter().flatten() {
            let of_link = self.claims.get(name).map(|entry| &entry.claim.spec.link);
            if let Some(link) = of_link.filter(|link| links.contains(*link)) {
                kept.entry(link.clone()).or_default().insert(name.address);
            }
        }
        self.retain(uid, &kept, now);
    }

    /// Releases everything of the pod.
    pub fn release_pod(&mut self, uid: &str, now: &Now) {
        self.retain(uid, &BTreeMap::new(), now);
    }

    /// Releases or verifies claims of pods that are not `live`: those have a record, a link or a network namespace
    /// here. Requests of other pods are dropped.
    pub fn sweep(&mut self, live: &BTreeSet<String>, is_authoritative: bool, now: &Now) {
        self.deleted_versions
            .retain(|_, (_, since)| now.instant.duration_since(*since) < TOMBSTONE_TTL);
        let requested = self.links.keys().filter(|uid| !live.contains(*uid));
        for uid in requested.cloned().collect::<Vec<_>>() {
            let links = self.links.remove(&uid).unwrap_or_default();
            let waiting = links.into_values().flat_map(|link| link.waiting);
            self.cancel(waiting.collect());
        }
        let is_stray = |name: &ClaimName, entry: &Entry| {
            let is_live = live.contains(&entry.claim.spec.pod.uid);
            entry.state != State::Releasing && !is_live && self.is_ours(name)
        };
        let strays = self.claims.iter();
        let strays = strays.filter(|(name, entry)| is_stray(name, entry));
        for name in strays.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            let entry = &self.claims[&name];
            if is_authoritative || entry.state == State::Quarantined {
                self.release(&name, now);
                continue;
            }
            let claim = entry.claim.clone();
            let operation = ClaimOperation::Verify(Box::new(Verify::of_pod(claim)));
            self.tasks
                .add_once(TaskKey::Verify(name), operation, now.instant);
        }
    }

    fn is_kept(
        &self,
        uid: &str,
        name: &ClaimName,
        kept: &BTreeMap<String, BTreeSet<IpAddr>>,
    ) -> bool {
        let Some(entry) = self.claims.get(name) else {
            return true;
        };
        let Some(addresses) = kept.get(&entry.claim.spec.link) else {
            return false;
        };
        let link = self
            .links
            .get(uid)
            .and_then(|links| links.get(&entry.claim.spec.link));
        let is_of = |link: &Link| link.domain == name.domain;
        match link {
            Some(link) if link.assigned.contains(&name.address) => {
                is_of(link) || !self.is_held_in(&link.domain, name.address, uid)
            }
            // Acquired in the meantime, and not returned to the caller yet.
            Some(link) if link.unreported.contains(&name.address) && is_of(link) => true,
            _ => addresses.contains(&name.address),
        }
    }

    fn is_held_in(&self, domain: &str, address: IpAddr, uid: &str) -> bool {
        let name = ClaimName {
            domain: domain.to_owned(),
            address,
        };
        let entry = self.claims.get(&name);
        entry.is_some_and(|entry| entry.state == State::Held && entry.claim.spec.pod.uid == uid)
    }

    /// Releases a claim: marks a held one as released, and deletes a quarantined one when its time is over.
    pub(super) fn release(&mut self, name: &ClaimName, now: &Now) {
        if !self.is_ours(name) {
            return;
        }
        let task_key = TaskKey::Release(name.clone());
        let Some(entry) = self.claims.get_mut(name) else {
            return;
        };
        let claim = entry.claim.clone();
        match entry.state {
            State::Held => {
                entry.state = State::Releasing;
                self.tasks.cancel_all(&task_key);
                self.tasks.drop_idle(&TaskKey::Verify(name.clone()));
                let release = Release::mark(claim, now.time.clone());
                let operation = ClaimOperation::Release(Box::new(release));
                self.tasks.add(task_key, operation, now.instant);
            }
            State::Quarantined if !self.tasks.has(&task_key) => self.schedule_delete(&claim, now),
            State::Quarantined | State::Releasing => (),
        }
    }
}
