use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    samples::{chain, entry},
    *,
};

fn value(entry: &Entry) -> Value {
    serde_json::from_slice(&encode(entry).unwrap()).unwrap()
}

fn decoded(value: &Value) -> Result<Entry, FileError> {
    decode("fast-c0ffee-net1", &serde_json::to_vec(value).unwrap())
}

#[test]
fn an_entry_is_read_as_it_was_written() {
    for phase in [
        Phase::Adding,
        Phase::Added,
        Phase::Attached,
        entry().phase,
        Phase::Deleting(Deletion::new(Why::Rebooted)),
    ] {
        let written = Entry { phase, ..entry() };
        assert_eq!(decoded(&value(&written)), Ok(written));
    }
    let bare = Entry {
        result: None,
        facts: Facts::default(),
        gateways: Vec::new(),
        before: None,
        baseline: None,
        after: vec![],
        requester: Requester::Annotation {
            definition: "tenant-a/fast".into(),
            element: "1".into(),
        },
        ..entry()
    };
    assert_eq!(decoded(&value(&bare)), Ok(bare));
}

#[test]
fn libcni_finds_the_members_of_its_cache() {
    let value = value(&entry());
    let config = STANDARD.decode(value["config"].as_str().unwrap()).unwrap();
    assert_eq!(value["kind"], "cniCacheV1");
    assert_eq!(value["containerId"], "c0ffee");
    assert_eq!(value["ifName"], "net1");
    assert_eq!(value["networkName"], "fast");
    assert_eq!(value["netns"], "/run/netns/cni-1");
    assert_eq!(value["cniArgs"][1], json!(["MAC", "0a:00:00:00:00:01"]));
    assert_eq!(value["capabilityArgs"], json!({"ips": ["10.0.0.9/24"]}));
    assert_eq!(value["result"]["ips"][0]["address"], "10.0.0.9/24");
    assert_eq!(
        serde_json::from_slice::<Value>(&config).unwrap(),
        json!({
            "cniVersion": "1.0.0", "name": "fast", "disableCheck": false, "disableGC": true,
            "plugins": [{"type": "macvlan", "mtu": 1400}, {"type": "tuning", "mtu": 1400}],
        })
    );
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_torn() {
    let text = encode(&entry()).unwrap();
    for length in 0..text.len() {
        let torn = decode("fast-c0ffee-net1", &text[..length]);
        assert!(
            matches!(torn, Err(FileError::Torn(_))),
            "{length}: {torn:?}"
        );
    }
}

#[test]
fn a_newer_file_is_not_understood_whatever_else_is_in_it() {
    let mut newer = value(&entry());
    newer["podconfig"] = json!({"version": 2, "state": "unheard of"});
    assert_eq!(decoded(&newer), Err(FileError::Newer(2)));
}

#[test]
fn what_others_wrote_is_foreign() {
    let spoil: [fn(&mut Value); 9] = [
        |value| value["podconfig"] = Value::Null,
        |value| value["podconfig"]["version"] = json!(0),
        |value| value["podconfig"]["version"] = json!("1"),
        |value| value["kind"] = json!("cniCacheV2"),
        |value| value["containerId"] = json!("another"),
        |value| value["ifName"] = json!("eth0"),
        |value| value["podconfig"]["chain"]["container_id"] = json!("another"),
        |value| value["podconfig"]["state"] = json!({"phase": "unknown"}),
        |value| {
            value.as_object_mut().unwrap().remove("podconfig");
        },
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        let mut foreign = value(&entry());
        spoil(&mut foreign);
        let read = decoded(&foreign);
        assert!(
            matches!(read, Err(FileError::Foreign(_))),
            "{number}: {read:?}"
        );
    }
    let text = encode(&entry()).unwrap();
    let renamed = decode("fast-c0ffee-net2", &text);
    assert!(matches!(renamed, Err(FileError::Foreign(_))), "{renamed:?}");
}

proptest! {
    #[test]
    fn a_damaged_file_is_no_entry_of_another_attachment(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text = encode(&entry()).unwrap();
        for (place, byte) in damage {
            let place = place.index(text.len());
            text[place] = byte;
        }
        for text in [&text[..], &text[..cut.index(text.len())]] {
            if let Ok(read) = decode("fast-c0ffee-net1", text) {
                prop_assert_eq!(read.id(), "fast-c0ffee-net1");
                prop_assert_eq!(read.chain.check(), Ok(()));
            }
        }
    }
}

#[test]
fn a_deletion_goes_on_for_the_reason_it_began_with() {
    let begun = entry().deleting(Why::PodEnded);
    assert_eq!(begun, entry());
    let attached = Entry {
        phase: Phase::Attached,
        ..entry()
    };
    let deletion = attached.deleting(Why::PodEnded).deletion().cloned();
    let expected = Deletion {
        was_attached: true,
        ..Deletion::new(Why::PodEnded)
    };
    assert_eq!(deletion, Some(expected));
    assert_eq!(id(&chain()), "fast-c0ffee-net1");
}
