//! Pure: what became of an errand.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crds::{AddressClaim, Reason};

use super::{About, Book, Doubt, Name, Now, State, Ticket, Waiting, tasks::Task};
use crate::address::claims::errand::{End, Errand};

impl Book {
    /// Takes in how an errand ended; the pods that this is news for.
    pub fn end(&mut self, ticket: Ticket, errand: Errand, end: End, now: &Now) -> BTreeSet<String> {
        let is_to_do_again = matches!(end, End::Refused(..) | End::Taken(..) | End::Failed(_));
        let Some(task) = self.tasks.get(ticket) else {
            return BTreeSet::new();
        };
        let (about, is_cancelled) = (task.about.clone(), task.is_cancelled);
        let claim = errand.claim().cloned();
        if let Some(uid) = errand.gone_successor() {
            self.successor_is_gone(uid);
        }
        match is_to_do_again && !is_cancelled {
            true => {
                let pointless = self.rests_for(&end, now);
                self.tasks.put_back(ticket, errand, now.instant, pointless);
            }
            false => drop::<Option<Task>>(self.tasks.remove(ticket)),
        }
        match (about, claim) {
            (About::Wish(uid, link), _) => self.end_of_wish(ticket, (uid, link), end, now),
            (About::Claim(name) | About::Release(name), Some(claim)) => {
                self.end_about(&name, &claim, end, now)
            }
            (About::Claim(_) | About::Release(_), None) => BTreeSet::new(),
        }
    }

    fn end_of_wish(
        &mut self,
        ticket: Ticket,
        (uid, link): (String, String),
        end: End,
        now: &Now,
    ) -> BTreeSet<String> {
        let is_news = match end {
            End::Held(claim) => {
                self.has_got(ticket, (&uid, &link), claim, now);
                true
            }
            End::Refused(reason, message) => {
                self.say_refused(ticket, (&uid, &link), (reason, message))
            }
            End::Taken(ref claim, ref whose) => {
                let rests = claim.spec.released.is_some();
                let rests = rests.then(|| self.rests_for(&end, now));
                let message = taken(claim, whose, rests);
                self.say_refused(ticket, (&uid, &link), (Reason::AddressTaken, message))
            }
            End::Failed(why) => self.say(ticket, (&uid, &link), |waiting| {
                waiting.refused = None;
                waiting.trouble.replace(why.clone()) != Some(why)
            }),
            End::Rests(_) | End::HandedOver(_) | End::Gone | End::PodIsThere | End::PodIsGone => {
                false
            }
        };
        is_news.then_some(uid).into_iter().collect()
    }

    fn has_got(
        &mut self,
        ticket: Ticket,
        (uid, link): (&str, &str),
        claim: Arc<AddressClaim>,
        now: &Now,
    ) {
        let name = Name::of(&claim);
        if !self.is_older(&name, &claim) {
            self.put(claim, now);
        }
        let of_pod = self.links.get_mut(uid);
        match of_pod.and_then(|links| links.get_mut(link)) {
            // The link went while it was asked for.
            None => self.release(&name, now),
            Some(link) => {
                let before = link.waiting.len();
                link.waiting.retain(|waiting| waiting.ticket != ticket);
                if link.waiting.len() < before {
                    link.lost.remove(&name.address);
                    link.meant.insert(name.address);
                }
            }
        }
    }

    /// For how long nobody else can have what rests.
    fn rests_for(&self, end: &End, now: &Now) -> Duration {
        match end {
            End::Taken(claim, _) => self.left_to_rest(claim, now),
            _ => Duration::ZERO,
        }
    }

    fn say_refused(&mut self, ticket: Ticket, of: (&str, &str), refusal: (Reason, String)) -> bool {
        self.say(ticket, of, |waiting| {
            waiting.trouble = None;
            waiting.refused.replace(refusal.clone()) != Some(refusal)
        })
    }

    /// Whether it was news for the wish that waits for it.
    fn say(
        &mut self,
        ticket: Ticket,
        (uid, link): (&str, &str),
        news: impl FnOnce(&mut Waiting) -> bool,
    ) -> bool {
        let of_pod = self.links.get_mut(uid);
        let link = of_pod.and_then(|links| links.get_mut(link));
        let waiting = link.and_then(|link| {
            let mut waiting = link.waiting.iter_mut();
            waiting.find(|waiting| waiting.ticket == ticket)
        });
        waiting.is_some_and(news)
    }

    /// `as_known`: what the errand knew of the claim. Meanwhile it may have become another's, or ours anew. The
    /// pods that must be looked at because it is in another state now, or can be taken again.
    fn end_about(
        &mut self,
        name: &Name,
        as_known: &AddressClaim,
        end: End,
        now: &Now,
    ) -> BTreeSet<String> {
        let Some(entry) = self.claims.get(name) else {
            return BTreeSet::new();
        };
        let (state, uid) = (entry.state, entry.claim.spec.pod.uid.clone());
        let is_same_pod = entry.claim.spec.pod == as_known.spec.pod;
        match end {
            End::Rests(claim) if state == State::Leaving || !self.is_older(name, &claim) => {
                self.put(claim, now);
                self.wake_refused(&name.domain, &[Reason::AddressTaken], now);
            }
            End::HandedOver(claim) if !self.is_older(name, &claim) => {
                return self.is_handed_over(name, claim, now);
            }
            End::Gone if self.is_older(name, as_known) => self.look_again(name, now),
            End::Gone => return self.is_gone(name, now),
            End::Held(claim) if state == State::Leaving => self.leaves_again(claim, now),
            End::Held(claim) if !self.is_older(name, &claim) => self.put(claim, now),
            End::PodIsGone if is_same_pod => self.release(name, now),
            End::Rests(_)
            | End::HandedOver(_)
            | End::Held(_)
            | End::PodIsGone
            | End::PodIsThere
            | End::Refused(..)
            | End::Taken(..)
            | End::Failed(_) => (),
        }
        let is_otherwise = self.claims.get(name).map(|entry| entry.state) != Some(state);
        let is_news = is_otherwise && self.is_news(&uid, state);
        is_news.then_some(uid).into_iter().collect()
    }

    /// What is to be given back was written meanwhile, and is held: that version is given back.
    fn leaves_again(&mut self, claim: Arc<AddressClaim>, now: &Now) {
        let name = Name::of(&claim);
        if self.tasks.has(&About::Release(name.clone())) {
            return;
        }
        if let Some(entry) = self.claims.get_mut(&name) {
            entry.claim = claim;
            entry.state = State::Held;
        }
        self.release(&name, now);
    }

    /// More is known of the claim than the errand knew.
    fn look_again(&mut self, name: &Name, now: &Now) {
        let Some(entry) = self.claims.get_mut(name) else {
            return;
        };
        if entry.state == State::Leaving {
            entry.state = State::Held;
            return self.release(name, now);
        }
        let errand = Errand::Doubt(Box::new(Doubt::of_claim(entry.claim.clone())));
        self.tasks
            .put_once(About::Claim(name.clone()), errand, now.instant);
    }

    /// The claim is nobody's or another's; who had it under a link asks for it again.
    fn is_gone(&mut self, name: &Name, now: &Now) -> BTreeSet<String> {
        let Some(entry) = self.claims.get(name) else {
            return BTreeSet::new();
        };
        let (uid, link, state) = (
            entry.claim.spec.pod.uid.clone(),
            entry.claim.spec.link.clone(),
            entry.state,
        );
        self.forget(name, now);
        let both = [Reason::AddressTaken, Reason::RangeFull];
        self.wake_refused(&name.domain, &both, now);
        let Some(of_pod) = self.links.get_mut(&uid) else {
            return BTreeSet::new();
        };
        if let Some(link) = of_pod.get_mut(&link).filter(|_| state == State::Held) {
            link.meant.remove(&name.address);
            if link.chosen.remove(&name.address) {
                link.lost.insert(name.address);
            }
        }
        self.is_news(&uid, state)
            .then_some(uid)
            .into_iter()
            .collect()
    }

    /// Whether a pod that has asked must be looked at because a claim of it, which was in this state, has left it.
    /// That what it gave back is so is no news, unless a link wants it again.
    fn is_news(&self, uid: &str, before: State) -> bool {
        let links = self.links.get(uid);
        links.is_some_and(|links| {
            before == State::Held || links.values().any(|link| link.awaits_release)
        })
    }

    /// What could not be had in this domain may be free now.
    pub(super) fn wake_refused(&mut self, domain: &str, reasons: &[Reason], now: &Now) {
        let links = self.links.values().flat_map(|links| links.values());
        let waiting = links
            .filter(|link| link.domain == domain)
            .flat_map(|link| &link.waiting);
        let refused: Vec<Ticket> = waiting
            .filter(
                |waiting| matches!(waiting.refused, Some((reason, _)) if reasons.contains(&reason)),
            )
            .map(|waiting| waiting.ticket)
            .collect();
        for ticket in refused {
            self.tasks.wake(ticket, now.instant);
        }
    }
}

/// Who has the address, and when it is free if that can be said.
fn taken(claim: &AddressClaim, whose: &str, rests: Option<Duration>) -> String {
    let spec = &claim.spec;
    let (address, domain) = (spec.address, &spec.domain);
    match rests {
        Some(left) => format!(
            "{address} was given back by {whose}, and is free in {} s (domain {domain})",
            left.as_secs().max(1)
        ),
        None => format!("{address} is held by {whose} (domain {domain})"),
    }
}
