//! The record of a sandbox, and the rules that its writer and its reader share. A record is never trusted by
//! its name alone: every reader compares the cookie.

mod clock;
mod error;
mod folder;
mod names;
mod parse;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::netns::Identity;

pub use clock::{now, since_boot, since_boot_of, time_of};
pub use error::{RecordError, RecordErrorKind};
pub use folder::RecordFolder;
pub use names::{is_container_id, is_dns_name, is_ifname, is_plain_path, is_uid};

/// The only schema version so far.
pub const SCHEMA: u32 = 1;

/// The maximum size of a record; annotations that do not fit are dropped before it is written.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// The folder of records, if the chain entry names none.
pub const DEFAULT_RECORDS_DIR: &str = "/run/podconfig/records";

/// One sandbox at the time when the runtime attached it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub schema: u32,
    pub pod_namespace: String,
    pub pod_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    pub container_id: String,
    pub ifname: String,
    pub network: String,
    pub netns: PathBuf,
    /// With `inode`: the namespace file. Inode numbers are reused within seconds.
    pub device: u64,
    pub inode: u64,
    /// `SO_NETNS_COOKIE`: unique per boot, never 0.
    pub cookie: u64,
    pub boot_id: String,
    /// The pod's addresses from the primary plugin, each with its prefix length.
    #[serde(default)]
    pub addresses: Vec<String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339, UTC, always the same width: sorts as text.
    pub time: String,
    /// The same moment in nanoseconds since the boot, which no clock change affects. Plugins of earlier
    /// releases did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_boot: Option<u64>,
}

impl Record {
    /// The identity of the recorded namespace.
    pub fn identity(&self) -> Identity {
        Identity {
            device: self.device,
            inode: self.inode,
            cookie: self.cookie,
        }
    }

    /// Sort key: sandboxes of one boot in the order of their attachment. Cookies are not in order: each CPU
    /// has its own range.
    pub fn age(&self) -> (Option<u64>, &str) {
        (self.since_boot, &self.time)
    }

    /// The first invalid field and its problem. A record with an invalid field is neither written nor
    /// accepted.
    pub fn invalid_field(&self) -> Option<(&'static str, String)> {
        let uid = self.pod_uid.as_deref().unwrap_or("-");
        let checks: [(&'static str, bool, &dyn std::fmt::Debug); 12] = [
            ("schema", self.schema == SCHEMA, &self.schema),
            (
                "podNamespace",
                is_dns_name(&self.pod_namespace, 63),
                &self.pod_namespace,
            ),
            ("podName", is_dns_name(&self.pod_name, 253), &self.pod_name),
            ("podUid", names::is_uid(uid), &self.pod_uid),
            (
                "containerId",
                is_container_id(&self.container_id),
                &self.container_id,
            ),
            ("ifname", is_ifname(&self.ifname), &self.ifname),
            ("network", is_container_id(&self.network), &self.network),
            ("netns", names::is_plain_path(&self.netns), &self.netns),
            ("inode", self.inode != 0, &self.inode),
            ("cookie", self.cookie != 0, &self.cookie),
            ("bootId", names::is_uid(&self.boot_id), &self.boot_id),
            ("time", clock::is_time(&self.time), &self.time),
        ];
        let wrong = checks.into_iter().find(|(_, right, _)| !right);
        if let Some((field, _, value)) = wrong {
            return Some((field, format!("{value:?} is not valid")));
        }
        let address = self.addresses.iter().find(|text| !is_cidr(text))?;
        Some((
            "addresses",
            format!("{address:?} is not an address with a prefix length"),
        ))
    }
}

/// An address with its prefix length, as results write it.
pub fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most)
}

/// The boot id: cookies are unique only within one boot.
pub fn boot_id() -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    pub fn sample() -> Record {
        Record {
            schema: SCHEMA,
            pod_namespace: "tenant-a".into(),
            pod_name: "web-0".into(),
            pod_uid: Some("6f1c2f9e-0f6f-4b0c-9e5f-1f2a3b4c5d6e".into()),
            container_id: "c0ffee".into(),
            ifname: "eth0".into(),
            network: "cluster".into(),
            netns: "/run/netns/cni-1".into(),
            device: 4,
            inode: 4026532000,
            cookie: 77,
            boot_id: "0d1e2f3a-0000-4000-8000-000000000000".into(),
            addresses: vec!["10.0.0.7/24".into(), "fd00::7/64".into()],
            annotations: BTreeMap::from([("a/b".into(), "c\n".into())]),
            time: now(),
            since_boot: since_boot(),
        }
    }

    #[test]
    fn a_record_without_a_cookie_is_no_record() {
        let record = Record {
            cookie: 0,
            ..sample()
        };
        assert_eq!(record.invalid_field().unwrap().0, "cookie");
    }

    #[test]
    fn every_field_that_names_something_is_judged() {
        type Spoil = fn(&mut Record);
        let cases: [(&str, Spoil); 12] = [
            ("schema", |r| r.schema = 2),
            ("podNamespace", |r| r.pod_namespace = "a/b".into()),
            ("podName", |r| r.pod_name = "line\nbreak".into()),
            ("podUid", |r| r.pod_uid = Some("../x".into())),
            ("containerId", |r| r.container_id = "../../etc/x".into()),
            ("ifname", |r| r.ifname = "sixteen-bytes-16".into()),
            ("network", |r| r.network = String::new()),
            ("netns", |r| r.netns = "/run/netns/../../etc".into()),
            ("inode", |r| r.inode = 0),
            ("bootId", |r| r.boot_id = " ".into()),
            ("addresses", |r| r.addresses = vec!["10.0.0.1/33".into()]),
            ("time", |r| r.time = "yesterday".into()),
        ];
        assert_eq!(sample().invalid_field(), None);
        for (field, spoil) in cases {
            let mut record = sample();
            spoil(&mut record);
            assert_eq!(record.invalid_field().unwrap().0, field);
        }
    }
}
