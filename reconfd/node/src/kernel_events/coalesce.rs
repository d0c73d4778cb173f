//! Pure: coalesces a burst of events while it is read. Only the last state of each link is kept: intermediate
//! states, such as being down, are side effects, and all of them together would take many times the memory.

use std::collections::HashMap;

use super::{KernelEvent, NetnsEvent, SocketMessage};
use crate::{links::ownership_mark::is_host_end_name, watched_netns::LinkEvent};

/// The nsid, `None` for the socket's own namespace, and the ifindex there.
type Key = (Option<i32>, u32);

pub struct Coalescer {
    message: Vec<SocketMessage>,
    places: HashMap<Key, usize>,
    /// Only host ends are coalesced; every event of other links counts.
    of_host_ends: bool,
}

impl Coalescer {
    /// In the switch, where all links are podconfig's.
    pub fn of_switch() -> Self {
        Self::new(false)
    }

    /// In the node's namespace, where others have links.
    pub fn of_node() -> Self {
        Self::new(true)
    }

    fn new(of_host_ends: bool) -> Self {
        Self {
            message: Vec::new(),
            places: HashMap::new(),
            of_host_ends,
        }
    }

    pub fn push(&mut self, message: SocketMessage) {
        let key = key_of(&message);
        if let Some(at) = key.and_then(|key| self.places.get(&key)) {
            self.message[*at] = message;
            return;
        }
        let is_merged = !self.of_host_ends || is_of_host_end(&message);
        if let Some(key) = key.filter(|_| is_merged) {
            self.places.insert(key, self.message.len());
        }
        self.message.push(message);
    }

    pub fn into_messages(self) -> impl Iterator<Item = SocketMessage> {
        self.message.into_iter()
    }
}

fn key_of(message: &SocketMessage) -> Option<Key> {
    match message {
        SocketMessage::Own(LinkEvent::Link(info)) => Some((None, info.index)),
        SocketMessage::Own(LinkEvent::Gone { index, .. }) => Some((None, *index)),
        SocketMessage::Other(event) => match &**event {
            KernelEvent::InPod { number, what } => Some((Some(*number), index_of(what)?)),
            _ => None,
        },
    }
}

fn index_of(what: &NetnsEvent) -> Option<u32> {
    match what {
        NetnsEvent::Link(info) => Some(info.index),
        NetnsEvent::LinkGone(index) | NetnsEvent::LinkLeft { index, .. } => Some(*index),
        NetnsEvent::AddressGone { .. }
        | NetnsEvent::RouteGone
        | NetnsEvent::RuleGone
        | NetnsEvent::PeerGone(_) => None,
    }
}

fn is_of_host_end(message: &SocketMessage) -> bool {
    matches!(message, SocketMessage::Own(LinkEvent::Link(info)) if is_host_end_name(&info.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{link_info::LinkInfo, links::ownership_mark::host_end_name};

    fn link(index: u32, name: &str, up: bool) -> SocketMessage {
        let info = LinkInfo {
            index,
            name: name.into(),
            up,
            ..LinkInfo::default()
        };
        SocketMessage::Own(LinkEvent::Link(Box::new(info)))
    }

    fn in_pod(number: i32, what: NetnsEvent) -> SocketMessage {
        SocketMessage::Other(Box::new(KernelEvent::InPod { number, what }))
    }

    fn gone(index: u32) -> SocketMessage {
        SocketMessage::Own(LinkEvent::Gone { index, moved: true })
    }

    fn messages(
        mut latest: Coalescer,
        message: impl IntoIterator<Item = SocketMessage>,
    ) -> Vec<String> {
        message.into_iter().for_each(|message| latest.push(message));
        let event = |message| match message {
            SocketMessage::Own(LinkEvent::Link(info)) => {
                format!("{} {} {}", info.index, info.name, info.up)
            }
            SocketMessage::Own(LinkEvent::Gone { index, moved }) => format!("{index} gone {moved}"),
            SocketMessage::Other(event) => format!("{event:?}"),
        };
        latest.into_messages().map(event).collect()
    }

    #[test]
    fn of_many_events_of_a_link_only_the_last_is_kept() {
        let burst = (0..1000).map(|n| link(n % 3, "a", n % 2 == 0));
        let kept = messages(Coalescer::of_switch(), burst);
        assert_eq!(kept, ["0 a false", "1 a false", "2 a true"]);
    }

    #[test]
    fn a_number_is_another_link_in_another_namespace() {
        let message = [
            link(7, "a", true),
            in_pod(1, NetnsEvent::LinkGone(7)),
            in_pod(2, NetnsEvent::LinkGone(7)),
            gone(7),
        ];
        let kept = messages(Coalescer::of_switch(), message);
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert_eq!(kept[0], "7 gone true");
    }

    #[test]
    fn other_events_are_not_coalesced() {
        let message = (0..3).map(|_| in_pod(1, NetnsEvent::RouteGone));
        assert_eq!(messages(Coalescer::of_switch(), message).len(), 3);
    }

    /// That a parent was away for a moment matters, though it is back.
    #[test]
    fn of_the_nodes_own_links_every_word_counts() {
        let end = host_end_name("sandbox", "data0");
        let message = || {
            [
                link(7, "eth1", true),
                gone(7),
                link(8, &end, false),
                gone(8),
            ]
        };
        assert_eq!(messages(Coalescer::of_node(), message()).len(), 3);
        assert_eq!(messages(Coalescer::of_switch(), message()).len(), 2);
    }
}
