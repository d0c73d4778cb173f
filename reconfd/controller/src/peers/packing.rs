//! Pure: packs peers into slices, and builds and parses the names of slices.

use std::{collections::BTreeMap, net::IpAddr};

use crds::{Peer, peers::MOST_PEERS};

use crate::{packing, reconcile_key::SegmentKey};

/// Slices by number.
pub type Slices = packing::Lists<Peer>;

pub fn name(segment: SegmentKey, number: usize) -> String {
    format!("vxlan-{}-{}-{number}", segment.vni, segment.port)
}

/// Parses such a name.
pub fn parse(text: &str) -> Option<(SegmentKey, usize)> {
    let mut words = text.strip_prefix("vxlan-")?.splitn(3, '-');
    let segment = SegmentKey {
        vni: words.next()?.parse().ok()?,
        port: words.next()?.parse().ok()?,
    };
    let number = words.next()?.parse().ok()?;
    (name(segment, number) == text).then_some((segment, number))
}

/// The desired slices, with minimal changes to the present ones.
pub fn pack(present: &Slices, wanted: BTreeMap<String, IpAddr>) -> Slices {
    let peer = |(node, address)| Peer { node, address };
    packing::pack(present, wanted, MOST_PEERS, |peer| peer.node.clone(), peer)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    fn wanted(nodes: std::ops::Range<usize>) -> BTreeMap<String, IpAddr> {
        let node = |n: usize| {
            (
                format!("n{n:04}"),
                IpAddr::from([10, 0, (n / 256) as u8, n as u8]),
            )
        };
        nodes.map(node).collect()
    }

    fn sizes(slices: &Slices) -> Vec<(usize, usize)> {
        slices.iter().map(|(n, peers)| (*n, peers.len())).collect()
    }

    #[test]
    fn a_slice_holds_a_hundred() {
        let slices = pack(&Slices::new(), wanted(0..250));
        assert_eq!(sizes(&slices), [(0, 100), (1, 100), (2, 50)]);
    }

    #[test]
    fn an_empty_slice_is_deleted_and_its_number_is_used_again() {
        let mut slices = pack(&Slices::new(), wanted(0..250));
        slices = pack(&slices, wanted(100..250));
        assert_eq!(sizes(&slices), [(1, 100), (2, 50)]);
        slices = pack(&slices, wanted(100..310));
        assert_eq!(sizes(&slices), [(0, 10), (1, 100), (2, 100)]);
    }

    #[test]
    fn a_node_that_is_in_two_slices_stays_in_one() {
        let node = wanted(0..1);
        let (name, address) = node.first_key_value().unwrap();
        let peer = |address: IpAddr| Peer {
            node: name.clone(),
            address,
        };
        let twice = Slices::from([
            (3, vec![peer([192, 0, 2, 1].into())]),
            (5, vec![peer(*address)]),
        ]);
        assert_eq!(
            pack(&twice, node.clone()),
            [(3, vec![peer(*address)])].into()
        );
    }

    #[test]
    fn a_name_says_its_segment_and_number_and_nothing_else_is_one() {
        let segment = SegmentKey {
            vni: 10042,
            port: 4789,
        };
        assert_eq!(name(segment, 2), "vxlan-10042-4789-2");
        assert_eq!(parse("vxlan-10042-4789-2"), Some((segment, 2)));
        for odd in [
            "vxlan-10042-4789",
            "vxlan-10042-4789-02",
            "vxlan-+7-4789-0",
            "vxlan-7-4789-0-1",
            "vxlan-7-4789--1",
            "other",
        ] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }

    fn nodes() -> impl Strategy<Value = BTreeMap<String, IpAddr>> {
        let address = (0u8..8).prop_map(|n| IpAddr::from([10, 0, 0, n]));
        btree_map(
            (0u16..400).prop_map(|n| format!("n{n:03}")),
            address,
            0..350,
        )
    }

    proptest! {
        #[test]
        fn every_peer_is_in_exactly_one_slice_and_no_slice_is_too_large(first in nodes(), then in nodes()) {
            let slices = pack(&pack(&Slices::new(), first), then.clone());
            let all: Vec<&Peer> = slices.values().flatten().collect();
            prop_assert_eq!(all.len(), then.len());
            prop_assert!(all.iter().all(|peer| then.get(&peer.node) == Some(&peer.address)));
            prop_assert!(slices.values().all(|peers| (1..=MOST_PEERS).contains(&peers.len())));
        }

        #[test]
        fn what_is_packed_stays_as_it_is(first in nodes(), then in nodes()) {
            let slices = pack(&pack(&Slices::new(), first), then.clone());
            prop_assert_eq!(pack(&slices, then), slices);
        }

        #[test]
        fn a_node_that_comes_or_goes_changes_one_slice(first in nodes(), then in nodes(), n in 0u16..400) {
            let slices = pack(&pack(&Slices::new(), first), then.clone());
            let (mut other, node) = (then, format!("n{n:03}"));
            if other.remove(&node).is_none() {
                other.insert(node, IpAddr::from([10, 0, 0, 9]));
            }
            let after = pack(&slices, other);
            let numbers = slices.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
            let changed = numbers.into_iter().filter(|n| slices.get(n) != after.get(n));
            prop_assert_eq!(changed.count(), 1);
        }
    }
}
