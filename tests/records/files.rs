//! Files that are no records, records that others wrote, and records of somebody else.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use serde_json::{Value, json};

use super::{file_name, survives};
use crate::support::chain;

/// Attack 7: files that are no records.
#[test]
fn files_that_are_no_records_block_nothing() {
    survives(|node, healthy, daemon| {
        let folder = node.path("/run/podconfig/records");
        let name = |letter: &str| file_name(healthy, &letter.repeat(64));
        symlink("/etc/passwd", folder.join(name("a"))).unwrap();
        symlink(healthy.attachment.netns.clone(), folder.join(name("b"))).unwrap();
        node.run(&["mkfifo", &format!("/run/podconfig/records/{}", name("c"))]);
        fs::create_dir(folder.join(name("d"))).unwrap();
        node.plant_record(&name("e"), b"");
        node.plant_record(&name("f"), b"{");
        node.plant_record(&name("0"), b"[]");
        node.plant_record(&name("9"), &vec![b' '; 40 << 20]);
        node.plant_record(&name("8"), "[".repeat(100_000).as_bytes());
        node.plant_record(&name("7"), &[0xff, 0xfe, 0, 1]);
        node.plant_record("no-record.txt", b"hello");
        node.plant_record(".hidden", b"hello");
        node.plant_record(&format!("{}x", "n".repeat(200)), b"{}");
        node.plant_record("new\nline.json", b"{}");
        node.plant_record("per%dcent.json", b"{}");
        symlink("/dev/zero", folder.join(name("6"))).unwrap();
        symlink(name("5"), folder.join(name("5"))).unwrap();
        // Its record is read after all of those.
        let later = node.connected("tenant-a", "later", "10.1.0.9/24");
        later.ready("data0");
        assert!(daemon.resident() < 100 << 20, "{} bytes", daemon.resident());
        for line in daemon.log().lines() {
            let parsed: Result<Value, _> = serde_json::from_str(line);
            assert!(
                parsed.is_ok_and(|value| value.is_object()),
                "a forged log line: {line}"
            );
        }
    });
}

#[test]
fn a_record_that_others_may_write_is_not_believed() {
    survives(|node, healthy, _| {
        let pod = node.bare_pod("tenant-a", "open");
        let (record, aside) = (pod.record(), node.path("/run/podconfig/aside"));
        let with_mode = |mode| {
            fs::rename(&record, &aside).unwrap();
            fs::set_permissions(&aside, fs::Permissions::from_mode(mode)).unwrap();
            fs::rename(&aside, &record).unwrap();
        };
        with_mode(0o666);
        node.connect("tenant-a", "open", "data0", "10.1.0.7/24");
        // Nobody knows whose a record is that can not be believed.
        pod.reason("data0", "NoRecord");
        with_mode(0o600);
        pod.ready("data0");
        let _ = healthy;
    });
}

/// Attack 6: the uid in the record is not the uid of the pod that has that name now.
#[test]
fn a_record_of_an_earlier_pod_of_that_name_is_not_used() {
    survives(|node, healthy, _| {
        let pod = node.bare_pod("tenant-a", "swapped");
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {namespace: tenant-a, name: swapped, \
             uid: 00000000-0000-4000-a000-000000000001, labels: {pod: swapped}}\n"
            .to_string();
        node.apply("pod-tenant-a-swapped", &text);
        node.connect("tenant-a", "swapped", "data0", "10.1.0.7/24");
        pod.reason("data0", "NoRecord");
        assert!(pod.find("data0").is_none());
        let _ = healthy;
    });
}

/// Attack 22: DEL of ids that are not the pod's must not make us drop its record.
#[test]
fn a_foreign_del_drops_nobodys_record() {
    survives(|node, healthy, _| {
        let entry = json!({"type": "podconfig-cni", "recordsDir": chain::RECORDS});
        let foreign = [
            "f".repeat(64),
            "../records".into(),
            "*".into(),
            ".".into(),
            healthy.attachment.container[..12].into(),
        ];
        for container in foreign {
            let mut other = healthy.attachment.clone();
            other.container = container;
            let output = chain::invoke(node, &other, "DEL", &entry, None);
            assert!(output.status.success(), "DEL never fails: {output:?}");
        }
        assert!(healthy.record().exists());
    });
}
