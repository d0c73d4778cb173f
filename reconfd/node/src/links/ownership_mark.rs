//! The ownership mark of a link (the alias of its host end), and names and MAC addresses that are computed
//! instead of stored, so that a restart finds them again.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use super::device::Data;

const PREFIX: &str = "podconfig:v1";

/// The ownership mark of a link, stored in its alias.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnershipMark {
    pub installation: String,
    pub pod_uid: String,
    pub podconfig_uid: String,
    pub link: String,
    /// Hash of the link's spec.
    pub spec_hash: String,
}

impl fmt::Display for OwnershipMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            installation,
            pod_uid,
            podconfig_uid,
            link,
            spec_hash,
        } = self;
        write!(
            f,
            "{PREFIX}:{installation}:{pod_uid}:{podconfig_uid}:{link}:{spec_hash}"
        )
    }
}

impl FromStr for OwnershipMark {
    type Err = ();
    fn from_str(alias: &str) -> Result<Self, ()> {
        let rest = alias
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix(':'))
            .ok_or(())?;
        let words: Vec<&str> = rest.split(':').collect();
        let [installation, pod_uid, podconfig_uid, link, spec_hash] = words[..] else {
            return Err(());
        };
        Ok(Self {
            installation: installation.into(),
            pod_uid: pod_uid.into(),
            podconfig_uid: podconfig_uid.into(),
            link: link.into(),
            spec_hash: spec_hash.into(),
        })
    }
}

/// Whether an alias is podconfig's, of any installation.
pub fn is_alias(alias: &str) -> bool {
    let rest = alias.strip_prefix(PREFIX);
    rest.is_some_and(|rest| rest.starts_with(':'))
}

/// The alias of a bridge in the switch, for operators.
pub fn bridge_alias(installation: &str, stands_for: &str) -> String {
    format!("{PREFIX}:{installation}:bridge:{stands_for}")
}

/// The alias of `lo` in the switch, by which a restarted daemon recognizes it.
pub fn switch_alias(installation: &str) -> String {
    format!("{PREFIX}:{installation}:switch")
}

/// The name of the host end of a link: `pc` and 13 characters, computed from sandbox id and link.
pub fn host_end_name(sandbox: &str, link: &str) -> String {
    format!("pc{}", base32(&[sandbox.as_bytes(), link.as_bytes()], 13))
}

/// The name on the node of a namespace's bridge: `pcb` and 12 characters.
pub fn bridge_name(installation: &str, namespace: &str, bridge: &str) -> String {
    format!(
        "pcb{}",
        base32(
            &[
                installation.as_bytes(),
                namespace.as_bytes(),
                bridge.as_bytes()
            ],
            12
        )
    )
}

/// The name of a segment's bridge in the switch: `pcb` and 12 characters, from the segment's identity on the
/// node.
pub fn segment_name(installation: &str, data: &Data, parent: &str) -> String {
    let what = match data {
        Data::Vlan(id) => format!("vlan {id} on {parent}"),
        Data::Vxlan(vxlan) => format!("vxlan {} port {}", vxlan.vni, vxlan.port),
    };
    // No namespace has an empty name, so a tenant's bridge never gets the same name.
    bridge_name(installation, "", &what)
}

/// The owner of the bridge with this alias.
pub fn bridge_owner<'a>(alias: &'a str, installation: &str) -> Option<&'a str> {
    let stands_for = alias.strip_prefix(&bridge_alias(installation, ""))?;
    stands_for.split_once('/').map(|(owner, _)| owner)
}

/// Whether a name has the form of our host ends.
pub fn is_host_end_name(name: &str) -> bool {
    name.len() == 15
        && name
            .strip_prefix("pc")
            .is_some_and(|rest| rest.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')))
}

/// A locally administered unicast address from a hash.
pub fn hashed_mac(parts: &[&[u8]]) -> [u8; 6] {
    let hash = digest(parts);
    [0x0a, hash[0], hash[1], hash[2], hash[3], hash[4]]
}

/// The MAC address of all host ends on bridges of the node. Such a bridge takes the lowest MAC address of its
/// ports, unless an administrator set one: with a common one that is higher than that of any device, pods
/// never change the bridge's address, which others have learned.
pub const PORT_OF_NODE: [u8; 6] = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff];

/// The host end's MAC address encodes the pod end's, where the tenant cannot write: some bits are flipped, so
/// that `0a` becomes `fe`.
pub fn other_end(mut mac: [u8; 6]) -> [u8; 6] {
    mac[0] ^= 0xf4;
    mac
}

fn base32(parts: &[&[u8]], length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let hash = digest(parts);
    let bit = |at: usize| usize::from(hash[at / 8] >> (7 - at % 8) & 1);
    let letter =
        |place: usize| (0..5).fold(0, |value, offset| value << 1 | bit(place * 5 + offset));
    (0..length)
        .map(|place| char::from(ALPHABET[letter(place)]))
        .collect()
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            hasher.update([0]);
        }
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_the_way_through_an_alias() {
        let mark = OwnershipMark {
            installation: "default".into(),
            pod_uid: "0b5c".into(),
            podconfig_uid: "77aa".into(),
            link: "data0.200".into(),
            spec_hash: "0123456789abcdef".into(),
        };
        assert_eq!(mark.to_string().parse(), Ok(mark));
    }

    #[test]
    fn an_alias_of_others_is_no_mark() {
        for alias in [
            "",
            "podconfig:v1",
            "podconfig:v2:a:b:c:d:e",
            "podconfig:v1:a:b:c:d",
            "podconfig:v1:a:b:c:d:e:f",
            "eth0 uplink",
        ] {
            assert_eq!(alias.parse::<OwnershipMark>(), Err(()), "{alias}");
        }
    }

    #[test]
    fn names_fit_into_what_the_kernel_takes_and_are_recognised() {
        let name = host_end_name("8f3c", "data0");
        assert_eq!(name.len(), 15);
        assert!(is_host_end_name(&name));
        assert!(
            !is_host_end_name("pc0123456789abc")
                && !is_host_end_name("pcb1")
                && !is_host_end_name("eth0")
        );
        assert_ne!(host_end_name("8f3c", "data1"), name);
        assert_eq!(bridge_name("default", "tenant-a", "blue").len(), 15);
        assert_ne!(
            bridge_name("default", "tenant-a", "blue"),
            bridge_name("default", "tenant-b", "blue")
        );
    }

    /// A later version must come to the same ones, or it would not know its own links again.
    #[test]
    fn names_never_change() {
        assert_eq!(
            bridge_name("default", "tenant-a", "blue"),
            "pcbxazgp4ssj7hq"
        );
        assert_eq!(host_end_name("0123abc", "data0"), "pcji3niuqwbm5h3");
        let vlan = segment_name("default", &Data::Vlan(100), "trunk0");
        assert_eq!(vlan, "pcb6ny2hkepsrez");
    }

    #[test]
    fn the_other_end_of_the_other_end_is_the_first() {
        let mac = [0x0a, 0x58, 10, 99, 0, 10];
        assert_ne!(other_end(mac), mac);
        assert_eq!(other_end(other_end(mac)), mac);
    }
}
