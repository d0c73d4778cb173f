//! What the kernel told: whom it concerns, and whether it is news or the echo of our own deeds.

use std::{io, time::Instant};

use super::{Controller, settled::Meaning};
use crate::node::{Happening, InPod, links::Place, row::Row};

impl Controller {
    /// Takes in what the kernel told, and finds out whom it concerns.
    pub(super) fn hear(&mut self) -> io::Result<()> {
        let Some(happenings) = self.machine.listen().map_err(io::Error::other)? else {
            tracing::warn!(
                "the kernel had more to tell than could be queued; everything is looked at again"
            );
            self.settled
                .values_mut()
                .for_each(|settled| settled.seen = false);
            self.touch_all();
            return Ok(());
        };
        for happening in happenings {
            match happening {
                Happening::InPod { number, what } => self.heard_in_pod(number, &what),
                Happening::PodGone(number) => {
                    let uid = self.numbers.remove(&number);
                    self.dirty.extend(uid);
                }
                Happening::HostEnd { place, before, now } => {
                    self.heard_of_host_end(place, before.as_ref(), now.as_ref())
                }
                Happening::NodeLink { before, now } => {
                    self.heard_of_node(before.as_ref(), now.as_ref())
                }
            }
        }
        Ok(())
    }

    fn heard_in_pod(&mut self, number: i32, what: &InPod) {
        let Some(uid) = self.numbers.get(&number) else {
            return;
        };
        let Some(settled) = self.settled.get_mut(uid) else {
            return;
        };
        let now = Instant::now();
        settled.alarmed |= matches!(what, InPod::AddressGone(_) | InPod::RouteGone);
        match settled.meaning_of(what) {
            Meaning::Echo => (),
            Meaning::Chance => settled.look_soon(now),
            Meaning::Undone if settled.may_look_now(now) => drop(self.dirty.insert(uid.clone())),
            Meaning::Undone => (),
        }
    }

    fn heard_of_host_end(&mut self, place: Place, before: Option<&Row>, now: Option<&Row>) {
        let Some(index) = before.or(now).map(|row| row.index) else {
            return;
        };
        let Some(uid) = self.host_ends.get(&(place, index)) else {
            return;
        };
        let Some(settled) = self.settled.get_mut(uid) else {
            return;
        };
        if settled.host_end_differs(place, index, now) && settled.may_look_now(Instant::now()) {
            self.dirty.insert(uid.clone());
        }
    }

    /// A bridge of the node came, went or changed its name or size.
    fn heard_of_node(&mut self, before: Option<&Row>, now: Option<&Row>) {
        let essence = |row: &Row| {
            (
                row.name.clone(),
                row.altnames.clone(),
                row.kind.clone(),
                row.mtu,
            )
        };
        if before.map(essence) == now.map(essence) {
            return;
        }
        let concerned = self.settled.iter().filter(|(_, settled)| {
            [before, now]
                .into_iter()
                .flatten()
                .any(|row| settled.host_bridges.iter().any(|name| row.is_called(name)))
        });
        self.dirty
            .extend(concerned.map(|(uid, _)| uid.clone()).collect::<Vec<_>>());
    }
}
