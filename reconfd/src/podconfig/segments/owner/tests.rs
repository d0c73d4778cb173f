#![allow(clippy::unwrap_used)]

use super::*;
use crds::Reason;

use node::links::device::{Remotes, Vxlan};

fn member(namespace: &str, name: &str, year: i32) -> Member {
    let created = format!("{year}-01-01T00:00:00Z");
    Member {
        is_ageless: false,
        created: Some(serde_json::from_value(created.into()).unwrap()),
        name: name.into(),
        namespace: namespace.into(),
        uid: format!("uid-of-{name}"),
    }
}

fn tunnel(peers: &[&str]) -> Segment {
    let peers = peers.iter().map(|peer| peer.parse().unwrap());
    Segment {
        name: "pcbtunnel".into(),
        parent: "eth1".into(),
        data: Data::Vxlan(Vxlan {
            vni: 7,
            port: 4789,
            remotes: Remotes::Peers(peers.collect()),
        }),
    }
}

fn registration<'a>(pod: &'a str, member: &'a Member, segment: &'a Segment) -> Registration<'a> {
    Registration {
        pod,
        member,
        segment,
        exclusive: false,
        across: false,
        sources: &[],
        grants: &[],
    }
}

impl SegmentOwners {
    /// The pods that it is to_enqueue to, or why it was refused.
    fn took(&mut self, registration: &Registration<'_>) -> Result<BTreeSet<String>, Cause> {
        let (taken, to_enqueue) = self.register(registration);
        taken.map(|()| to_enqueue)
    }
}

fn set(pods: &[&str]) -> BTreeSet<String> {
    pods.iter().map(|pod| (*pod).to_owned()).collect()
}

#[test]
fn who_may_not_share_does_not_drive_out_those_who_do() {
    let mut segments = SegmentOwners::default();
    let (ours, theirs) = (member("a", "ours", 2020), member("b", "theirs", 2021));
    let segment = tunnel(&["10.0.0.1"]);
    let sharing = |pod, member| Registration {
        across: true,
        ..registration(pod, member, &segment)
    };
    segments.took(&sharing("p1", &ours)).unwrap();
    segments.took(&sharing("p2", &theirs)).unwrap();
    // Another pod of the first namespace, by a rule for that namespace alone.
    let (reason, message) = segments
        .took(&registration("p3", &ours, &segment))
        .unwrap_err();
    assert_eq!(reason, Reason::SegmentInUse);
    assert!(message.contains("belongs to namespace b"), "{message}");
    assert!(segments.took(&sharing("p3", &ours)).is_ok());
    // The rule that let the first pod share is withdrawn: the others must go, and are enqueued.
    assert_eq!(
        segments.took(&registration("p1", &ours, &segment)),
        Ok(set(&["p2"]))
    );
    assert!(segments.took(&sharing("p2", &theirs)).is_err());
}

#[test]
fn a_segment_belongs_to_the_namespace_that_used_it_first() {
    let mut segments = SegmentOwners::default();
    let (ours, theirs) = (member("a", "ours", 2020), member("b", "theirs", 2019));
    let segment = tunnel(&["10.0.0.1"]);
    assert_eq!(
        segments.took(&registration("p1", &ours, &segment)),
        Ok(set(&[]))
    );
    let (reason, message) = segments
        .took(&registration("p2", &theirs, &segment))
        .unwrap_err();
    assert_eq!(reason, Reason::SegmentInUse);
    assert!(message.contains("belongs to namespace a"), "{message}");
    assert_eq!(
        segments.retain("p1", &set(&[])),
        set(&["p2"]),
        "waiting pods are enqueued"
    );
    assert_eq!(
        segments.took(&registration("p2", &theirs, &segment)),
        Ok(set(&[]))
    );
    assert_eq!(segments.owner("pcbtunnel"), Some("b"));
}

#[test]
fn sharing_across_namespaces_takes_the_word_of_both_sides() {
    let mut segments = SegmentOwners::default();
    let (ours, theirs) = (member("a", "ours", 2020), member("b", "theirs", 2021));
    let segment = tunnel(&["10.0.0.1"]);
    let shared = |pod, member| Registration {
        across: true,
        ..registration(pod, member, &segment)
    };
    segments.took(&registration("p1", &ours, &segment)).unwrap();
    segments.took(&shared("p2", &theirs)).unwrap_err();
    segments.took(&shared("p1", &ours)).unwrap();
    segments.took(&shared("p2", &theirs)).unwrap();
    let to_enqueue = segments.took(&registration("p1", &ours, &segment)).unwrap();
    assert_eq!(
        to_enqueue,
        set(&["p2"]),
        "who shares less than before tells the others"
    );
    segments.took(&shared("p2", &theirs)).unwrap_err();
}

#[test]
fn with_its_last_pod_an_owner_leaves_the_segment_to_who_is_left() {
    let mut segments = SegmentOwners::default();
    let (ours, theirs) = (member("a", "ours", 2020), member("b", "theirs", 2021));
    let segment = tunnel(&["10.0.0.1"]);
    for (pod, member) in [("p1", &ours), ("p2", &theirs)] {
        let registration = Registration {
            across: true,
            ..registration(pod, member, &segment)
        };
        segments.took(&registration).unwrap();
    }
    assert_eq!(segments.retain("p1", &set(&[])), set(&["p2"]));
    assert_eq!(segments.owner("pcbtunnel"), Some("b"));
}

#[test]
fn of_two_podconfigs_that_differ_the_older_wins_in_any_order() {
    let mut segments = SegmentOwners::default();
    let (older, younger) = (member("a", "older", 2019), member("a", "younger", 2020));
    let (one, other) = (tunnel(&["10.0.0.1"]), tunnel(&["10.0.0.2"]));
    segments
        .took(&registration("p2", &younger, &other))
        .unwrap();
    let to_enqueue = segments.took(&registration("p1", &older, &one)).unwrap();
    assert_eq!(to_enqueue, set(&["p2"]));
    let (reason, message) = segments
        .took(&registration("p2", &younger, &other))
        .unwrap_err();
    assert_eq!(reason, Reason::SegmentDiffers);
    assert!(
        message.contains("older") && message.contains("10.0.0.2"),
        "{message}"
    );
    assert_eq!(
        segments.took(&registration("p2", &younger, &one)),
        Ok(set(&[]))
    );
}

#[test]
fn an_edit_of_one_podconfig_is_news_to_all_of_its_pods() {
    let mut segments = SegmentOwners::default();
    let member = member("a", "ours", 2020);
    let (before, after) = (tunnel(&["10.0.0.1"]), tunnel(&["10.0.0.2"]));
    segments
        .took(&registration("p1", &member, &before))
        .unwrap();
    segments
        .took(&registration("p2", &member, &before))
        .unwrap();
    assert_eq!(
        segments.took(&registration("p1", &member, &after)),
        Ok(set(&["p2"]))
    );
    assert_eq!(
        segments.took(&registration("p2", &member, &after)),
        Ok(set(&[]))
    );
}

#[test]
fn mode_exclusive_allows_no_other_user() {
    let mut segments = SegmentOwners::default();
    let member = member("a", "ours", 2020);
    let segment = tunnel(&["10.0.0.1"]);
    let whole = |pod| Registration {
        exclusive: true,
        ..registration(pod, &member, &segment)
    };
    segments.took(&whole("p1")).unwrap();
    segments.took(&whole("p1")).unwrap();
    assert_eq!(
        segments
            .took(&registration("p2", &member, &segment))
            .unwrap_err()
            .0,
        Reason::SegmentInUse
    );
    segments.retain("p1", &set(&[]));
    segments
        .took(&registration("p2", &member, &segment))
        .unwrap();
    assert_eq!(
        segments.took(&whole("p1")).unwrap_err().0,
        Reason::SegmentInUse
    );
}

#[test]
fn over_a_restart_a_segment_stays_with_who_had_it() {
    let mut segments = SegmentOwners::default();
    let (ours, theirs) = (member("a", "ours", 2020), member("b", "theirs", 2019));
    let segment = tunnel(&["10.0.0.1"]);
    segments.restore("pcbtunnel".into(), "a".into());
    segments.restore("pcbunused".into(), "c".into());
    segments
        .took(&registration("p2", &theirs, &segment))
        .unwrap_err();
    segments.took(&registration("p1", &ours, &segment)).unwrap();
    assert_eq!(segments.forget_unclaimed(), set(&["p2"]));
    assert_eq!(segments.owner("pcbunused"), None);
    segments
        .took(&registration("p2", &theirs, &segment))
        .unwrap_err();
}

#[test]
fn a_pod_that_loses_its_segment_blocks_no_other() {
    let mut segments = SegmentOwners::default();
    let (older, younger, youngest) = (
        member("a", "older", 2019),
        member("a", "younger", 2020),
        member("a", "youngest", 2021),
    );
    let (one, other) = (tunnel(&["10.0.0.1"]), tunnel(&["10.0.0.2"]));
    segments
        .took(&registration("p2", &younger, &other))
        .unwrap();
    segments.took(&registration("p1", &older, &one)).unwrap();
    segments
        .took(&registration("p2", &younger, &other))
        .unwrap_err();
    assert_eq!(
        segments.took(&registration("p3", &youngest, &one)),
        Ok(set(&[]))
    );
}

#[test]
fn what_the_oldest_lets_into_a_group_holds_for_all() {
    let mut segments = SegmentOwners::default();
    let (older, younger) = (member("a", "older", 2019), member("a", "younger", 2020));
    let segment = tunnel(&["10.0.0.1"]);
    let (wide, narrow) = (
        ["10.0.0.0/8".parse().unwrap()],
        ["10.1.0.0/16".parse().unwrap()],
    );
    let open = |pod, member, sources| Registration {
        sources,
        ..registration(pod, member, &segment)
    };
    segments.took(&open("p2", &younger, &wide)).unwrap();
    assert_eq!(segments.sources("pcbtunnel"), wide);
    let to_enqueue = segments.took(&open("p1", &older, &narrow));
    assert_eq!(to_enqueue, Ok(set(&["p2"])));
    assert_eq!(segments.took(&open("p2", &younger, &wide)), Ok(set(&[])));
    assert_eq!(segments.sources("pcbtunnel"), narrow);
    assert_eq!(segments.retain("p1", &set(&[])), set(&["p2"]));
    assert_eq!(segments.sources("pcbtunnel"), wide);
}

fn found(name: &str, vni: u32) -> Segment {
    Segment {
        name: name.into(),
        data: Data::Vxlan(Vxlan {
            vni,
            port: 4789,
            remotes: Remotes::Discovered(None),
        }),
        ..tunnel(&[])
    }
}

#[test]
fn ends_that_are_found_are_one_way_and_ends_that_are_written_down_another() {
    let mut segments = SegmentOwners::default();
    let (older, younger) = (member("a", "older", 2019), member("a", "younger", 2020));
    let (auto, fixed) = (found("pcbtunnel", 7), tunnel(&["10.0.0.1"]));
    segments.took(&registration("p1", &older, &auto)).unwrap();
    segments.took(&registration("p2", &younger, &auto)).unwrap();
    let (reason, message) = segments
        .took(&registration("p3", &younger, &fixed))
        .unwrap_err();
    assert_eq!(reason, Reason::SegmentDiffers);
    assert!(
        message.contains("discovered peers") && message.contains("10.0.0.1"),
        "{message}"
    );
}

#[test]
fn a_slice_concerns_the_tunnels_that_a_pod_of_its_namespace_uses() {
    let mut segments = SegmentOwners::default();
    let (ours, theirs) = (member("a", "ours", 2019), member("b", "theirs", 2020));
    let (seven, eight, fixed) = (
        found("pcbseven", 7),
        found("pcbeight", 8),
        tunnel(&["10.0.0.1"]),
    );
    let sharing = |pod, member, segment| Registration {
        across: true,
        ..registration(pod, member, segment)
    };
    segments.took(&sharing("p1", &ours, &seven)).unwrap();
    segments.took(&sharing("p2", &theirs, &seven)).unwrap();
    segments.took(&sharing("p3", &ours, &eight)).unwrap();
    segments.took(&sharing("p4", &ours, &fixed)).unwrap();
    let concerned = |namespace, vni, port| segments.discovering(namespace, vni, port);
    assert_eq!(concerned("a", 7, 4789), ["pcbseven"]);
    assert_eq!(concerned("b", 7, 4789), ["pcbseven"]);
    assert_eq!(concerned("a", 8, 4789), ["pcbeight"]);
    for (namespace, vni, port) in [
        ("b", 8, 4789),
        ("c", 7, 4789),
        ("a", 7, 4790),
        ("a", -7, 4789),
        ("a", 9, 4789),
    ] {
        assert_eq!(
            concerned(namespace, vni, port),
            Vec::<String>::new(),
            "{namespace} {vni} {port}"
        );
    }
    assert_eq!(segments.users("pcbseven"), set(&["p1", "p2"]));
    assert_eq!(segments.namespaces("pcbseven"), ["a", "b"].into());
    // With a namespace its nodes leave the segment: who is left must say so.
    assert_eq!(segments.retain("p2", &set(&[])), set(&["p1"]));
    assert_eq!(segments.namespaces("pcbseven"), ["a"].into());
}

#[test]
fn a_segment_has_changed_when_its_device_must() {
    let mut segments = SegmentOwners::default();
    let (old, young) = (member("a", "old", 2019), member("a", "young", 2021));
    let segment = found("pcbtunnel", 7);
    let networks = ["10.0.0.0/24".parse().unwrap()];
    let with_networks = |pod, member| Registration {
        sources: &networks,
        ..registration(pod, member, &segment)
    };
    let changed = |segments: &mut SegmentOwners| !segments.take_changed().is_empty();
    segments.took(&with_networks("p1", &young)).unwrap();
    assert!(changed(&mut segments));
    segments.took(&with_networks("p2", &young)).unwrap();
    segments.took(&with_networks("p1", &young)).unwrap();
    assert!(!changed(&mut segments), "another pod of the same PodConfig");
    segments.took(&registration("p3", &old, &segment)).unwrap();
    assert!(changed(&mut segments), "the oldest one's rule counts");
    segments.retain("p2", &set(&[]));
    assert!(!changed(&mut segments));
    segments.retain("p3", &set(&[]));
    assert!(changed(&mut segments));
}

#[test]
fn a_rule_that_allows_no_sharing_permits_a_shared_segment_nothing() {
    let mut segments = SegmentOwners::default();
    let (ours, theirs) = (member("a", "ours", 2019), member("b", "theirs", 2020));
    let segment = tunnel(&["10.0.0.1"]);
    let grant = |across, unfiltered| Grant {
        across,
        on_port: false,
        unfiltered,
    };
    let (none, alone, shared) = (
        [grant(true, false)],
        [grant(false, true)],
        [grant(true, true)],
    );
    let mut permits = |pod, member, grants: &[Grant]| {
        let registration = Registration {
            across: true,
            grants,
            ..registration(pod, member, &segment)
        };
        segments.took(&registration).unwrap();
        assert!(segments.permits("pcbtunnel", false, false));
        segments.permits("pcbtunnel", false, true)
    };
    assert!(!permits("p1", &ours, &none));
    assert!(!permits("p2", &theirs, &alone), "its segment is another's");
    assert!(permits("p2", &theirs, &shared));
    assert!(!permits("p2", &theirs, &none));
    assert!(permits("p1", &ours, &alone));
}
