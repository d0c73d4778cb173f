//! Pure: what a burst of events comes to. Of all that was told of one link only how it is now is kept, while
//! it is read: on its way there it passes through states, such as being down, that nobody brought about on
//! purpose, and all of them together would take many times the memory.

use std::collections::HashMap;

use super::{KernelEvent, NetnsEvent, SocketMessage};
use crate::node::{links::ownership_mark::is_host_end_name, watched_netns::LinkEvent};

/// The namespace, `None` for the one that is listened to, and the link's number there.
type Key = (Option<i32>, u32);

pub struct Coalescer {
    heard: Vec<SocketMessage>,
    places: HashMap<Key, usize>,
    /// Of links that are no host ends every word counts.
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
            heard: Vec::new(),
            places: HashMap::new(),
            of_host_ends,
        }
    }

    pub fn push(&mut self, heard: SocketMessage) {
        let key = key_of(&heard);
        if let Some(at) = key.and_then(|key| self.places.get(&key)) {
            self.heard[*at] = heard;
            return;
        }
        let is_merged = !self.of_host_ends || is_of_host_end(&heard);
        if let Some(key) = key.filter(|_| is_merged) {
            self.places.insert(key, self.heard.len());
        }
        self.heard.push(heard);
    }

    pub fn into_messages(self) -> impl Iterator<Item = SocketMessage> {
        self.heard.into_iter()
    }
}

fn key_of(heard: &SocketMessage) -> Option<Key> {
    match heard {
        SocketMessage::Own(LinkEvent::Link(row)) => Some((None, row.index)),
        SocketMessage::Own(LinkEvent::Gone { index, .. }) => Some((None, *index)),
        SocketMessage::Other(event) => match &**event {
            KernelEvent::InPod { number, what } => Some((Some(*number), index_of(what)?)),
            _ => None,
        },
    }
}

fn index_of(what: &NetnsEvent) -> Option<u32> {
    match what {
        NetnsEvent::Link(row) => Some(row.index),
        NetnsEvent::LinkGone(index) | NetnsEvent::LinkLeft { index, .. } => Some(*index),
        NetnsEvent::AddressGone { .. }
        | NetnsEvent::RouteGone
        | NetnsEvent::RuleGone
        | NetnsEvent::PeerGone(_) => None,
    }
}

fn is_of_host_end(heard: &SocketMessage) -> bool {
    matches!(heard, SocketMessage::Own(LinkEvent::Link(row)) if is_host_end_name(&row.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{link_info::LinkInfo, links::ownership_mark::host_end_name};

    fn link(index: u32, name: &str, up: bool) -> SocketMessage {
        let row = LinkInfo {
            index,
            name: name.into(),
            up,
            ..LinkInfo::default()
        };
        SocketMessage::Own(LinkEvent::Link(Box::new(row)))
    }

    fn in_pod(number: i32, what: NetnsEvent) -> SocketMessage {
        SocketMessage::Other(Box::new(KernelEvent::InPod { number, what }))
    }

    fn gone(index: u32) -> SocketMessage {
        SocketMessage::Own(LinkEvent::Gone { index, moved: true })
    }

    fn words(mut latest: Coalescer, heard: impl IntoIterator<Item = SocketMessage>) -> Vec<String> {
        heard.into_iter().for_each(|heard| latest.push(heard));
        let word = |heard| match heard {
            SocketMessage::Own(LinkEvent::Link(row)) => {
                format!("{} {} {}", row.index, row.name, row.up)
            }
            SocketMessage::Own(LinkEvent::Gone { index, moved }) => format!("{index} gone {moved}"),
            SocketMessage::Other(event) => format!("{event:?}"),
        };
        latest.into_messages().map(word).collect()
    }

    #[test]
    fn of_a_link_that_was_told_of_again_and_again_one_word_is_kept() {
        let burst = (0..1000).map(|n| link(n % 3, "a", n % 2 == 0));
        let kept = words(Coalescer::of_switch(), burst);
        assert_eq!(kept, ["0 a false", "1 a false", "2 a true"]);
    }

    #[test]
    fn a_number_is_another_link_in_another_namespace() {
        let heard = [
            link(7, "a", true),
            in_pod(1, NetnsEvent::LinkGone(7)),
            in_pod(2, NetnsEvent::LinkGone(7)),
            gone(7),
        ];
        let kept = words(Coalescer::of_switch(), heard);
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert_eq!(kept[0], "7 gone true");
    }

    #[test]
    fn what_is_no_link_is_told_each_time() {
        let heard = (0..3).map(|_| in_pod(1, NetnsEvent::RouteGone));
        assert_eq!(words(Coalescer::of_switch(), heard).len(), 3);
    }

    /// That a parent was away for a moment matters, though it is back.
    #[test]
    fn of_the_nodes_own_links_every_word_counts() {
        let end = host_end_name("sandbox", "data0");
        let heard = || {
            [
                link(7, "eth1", true),
                gone(7),
                link(8, &end, false),
                gone(8),
            ]
        };
        assert_eq!(words(Coalescer::of_node(), heard()).len(), 3);
        assert_eq!(words(Coalescer::of_switch(), heard()).len(), 2);
    }
}
