//! Pure: fields and labels of a claim.

use std::{collections::BTreeMap, net::IpAddr};

use crds::{
    AddressClaim, AddressClaimSpec, ClaimPod,
    claim::{ClaimSuccessor, address_word, claim_name},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest, Sha256};

use super::{LinkKey, lineage::Lineage};
use crate::range::number;

/// Label of the owner of an address, independent of the pod's uid.
pub const OWNER: &str = "podconfig.dev/owner";
pub const DOMAIN: &str = "podconfig.dev/domain";
/// Label prefix for a block of addresses; the number of low bits follows.
const BLOCK: &str = "podconfig.dev/block-";

/// Identifies a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimName {
    pub domain: String,
    pub address: IpAddr,
}

impl ClaimName {
    pub fn of(claim: &AddressClaim) -> Self {
        Self {
            domain: claim.spec.domain.clone(),
            address: claim.spec.address,
        }
    }

    /// Parses the name of a claim object.
    pub fn parse(text: &str) -> Option<Self> {
        let (domain, word) = text.split_once('.')?;
        let address = match word.split('.').count() {
            8 => word.replace('.', ":").parse().ok()?,
            _ => word.parse().ok()?,
        };
        let domain = domain.to_owned();
        let name = Self { domain, address };
        // Only the canonical form is valid.
        (name.to_string() == text).then_some(name)
    }
}

impl std::fmt::Display for ClaimName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&claim_name(&self.domain, self.address))
    }
}

/// The requesting link, and the daemon that acts for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    pub key: LinkKey,
    pub node: String,
    pub installation: String,
    pub lineage: Lineage,
}

impl Claimant {
    /// Describes a pod; pods of other namespaces are not named.
    pub fn describe_pod(&self, pod: &ClaimPod) -> String {
        match pod.namespace == self.key.namespace {
            true => format!("pod {}", pod.name),
            false => "a pod of another namespace".to_owned(),
        }
    }

    /// Describes the holder of the claim.
    pub fn holder(&self, claim: &AddressClaim) -> String {
        let whose = self.describe_pod(&claim.spec.pod);
        match &claim.spec.successor {
            _ if self.is_same_pod(claim) => format!("link {} of this pod", claim.spec.link),
            Some(next) if next.pod.uid == self.key.uid => {
                format!("{whose}, which hands it over to this pod when it ends")
            }
            _ => whose,
        }
    }

    /// Whether the claim belongs to this link of this very pod.
    pub fn is_own(&self, claim: &AddressClaim) -> bool {
        self.is_same_pod(claim) && claim.spec.link == self.key.link
    }

    /// Whether the claim belongs to this very pod, for any of its links.
    pub fn is_same_pod(&self, claim: &AddressClaim) -> bool {
        let (pod, key) = (&claim.spec.pod, &self.key);
        (&pod.namespace, &pod.name, &pod.uid) == (&key.namespace, &key.pod, &key.uid)
    }

    /// Whether this link may take the address without waiting for the quarantine.
    pub fn may_reclaim(&self, claim: &AddressClaim) -> bool {
        self.is_same_pod(claim) || self.is_namesake(claim) || self.succeeds(claim)
    }

    /// Whether the claim belongs to another pod of the same controller.
    pub fn succeeds(&self, claim: &AddressClaim) -> bool {
        let (spec, controller) = (&claim.spec, &self.lineage.controller);
        !controller.is_empty()
            && spec.controller == *controller
            && spec.pod.namespace == self.key.namespace
            && spec.pod.uid != self.key.uid
            && spec.installation == self.installation
            && !self.lineage.is_ending
    }

    /// This pod as a successor that waits for another pod's address.
    pub fn successor(&self) -> ClaimSuccessor {
        ClaimSuccessor {
            pod: self.pod(),
            link: self.key.link.clone(),
            node: self.node.clone(),
            revision: self.lineage.revision.clone(),
            created: self.lineage.created.clone(),
            waits: self.lineage.waits,
        }
    }

    /// The claim of another pod of the same controller, with this pod as its successor.
    pub fn with_successor(&self, mut claim: AddressClaim) -> AddressClaim {
        claim.spec.successor = Some(self.successor());
        claim
    }

    /// Whether the claim belongs to a pod of this name, for the same link.
    pub fn is_namesake(&self, claim: &AddressClaim) -> bool {
        let (spec, key) = (&claim.spec, &self.key);
        (&spec.pod.namespace, &spec.pod.name, &spec.link) == (&key.namespace, &key.pod, &key.link)
    }

    pub fn owner(&self) -> String {
        owner(&self.key.namespace, &self.key.pod, &self.key.link)
    }

    /// A new claim.
    pub fn claim(&self, name: &ClaimName) -> AddressClaim {
        let mut claim = AddressClaim::new(
            &name.to_string(),
            AddressClaimSpec {
                domain: name.domain.clone(),
                address: name.address,
                pod: self.pod(),
                link: self.key.link.clone(),
                node: self.node.clone(),
                installation: self.installation.clone(),
                released: None,
                controller: self.lineage.controller.clone(),
                successor: None,
            },
        );
        claim.metadata.labels = Some(labels(self.owner(), name));
        claim
    }

    /// The claim of an earlier pod, or of another link of this pod, taken over by this link.
    pub fn take_over(&self, mut claim: AddressClaim) -> AddressClaim {
        let labels = labels(self.owner(), &ClaimName::of(&claim));
        claim.metadata.labels.get_or_insert_default().extend(labels);
        claim.spec.link.clone_from(&self.key.link);
        claim.spec.pod = self.pod();
        claim.spec.node.clone_from(&self.node);
        claim.spec.installation.clone_from(&self.installation);
        claim.spec.controller.clone_from(&self.lineage.controller);
        claim.spec.released = None;
        claim.spec.successor = None;
        claim
    }

    fn pod(&self) -> ClaimPod {
        ClaimPod {
            namespace: self.key.namespace.clone(),
            name: self.key.pod.clone(),
            uid: self.key.uid.clone(),
        }
    }

    /// A hash of pod name, link and attempt: nearly unique to this claimant.
    pub fn name_hash(&self, attempt: u32) -> u128 {
        let key = &self.key;
        digest(&[
            key.namespace.as_bytes(),
            key.pod.as_bytes(),
            key.link.as_bytes(),
            &attempt.to_be_bytes(),
        ])
    }

    /// The same with the pod's uid, for claimants that search the same block.
    pub fn uid_hash(&self, attempt: u32) -> u128 {
        let key = &self.key;
        digest(&[
            key.uid.as_bytes(),
            key.link.as_bytes(),
            &attempt.to_be_bytes(),
        ])
    }
}

fn labels(owner: String, name: &ClaimName) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (OWNER.to_owned(), owner),
        (DOMAIN.to_owned(), name.domain.clone()),
    ]);
    labels.extend(Block::SIZES.map(|bits| Block::around(name.address, bits).label()));
    labels
}

/// The claim marked as released, without a successor.
pub fn released(mut claim: AddressClaim, when: Time) -> AddressClaim {
    claim.spec.released.get_or_insert(when);
    claim.spec.successor = None;
    claim
}

/// The claim handed over to the successor.
pub fn handed_over(mut claim: AddressClaim, to: ClaimSuccessor) -> AddressClaim {
    let owner = owner(&to.pod.namespace, &to.pod.name, &to.link);
    let labels = labels(owner, &ClaimName::of(&claim));
    claim.metadata.labels.get_or_insert_default().extend(labels);
    claim.spec.pod = to.pod;
    claim.spec.link = to.link;
    claim.spec.node = to.node;
    claim.spec.successor = None;
    claim
}

/// Stands for a claim that cannot be parsed: its address is taken.
pub fn placeholder(name: &ClaimName) -> AddressClaim {
    let placeholder_spec = AddressClaimSpec {
        domain: name.domain.clone(),
        address: name.address,
        pod: ClaimPod {
            namespace: "?".into(),
            name: "?".into(),
            uid: String::new(),
        },
        link: "?".into(),
        node: String::new(),
        installation: String::new(),
        released: None,
        controller: String::new(),
        successor: None,
    };
    AddressClaim::new(&name.to_string(), placeholder_spec)
}

/// Hash of namespace, pod and link, short enough for a label.
fn owner(namespace: &str, pod: &str, link: &str) -> String {
    let hash = digest(&[namespace.as_bytes(), pod.as_bytes(), link.as_bytes()]);
    format!("{hash:032x}")
}

fn digest(words: &[&[u8]]) -> u128 {
    let mut hasher = Sha256::new();
    for word in words {
        hasher.update((word.len() as u64).to_be_bytes());
        hasher.update(word);
    }
    let hash = hasher.finalize();
    hash.iter()
        .take(16)
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Adjacent addresses that are listed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    bits: u8,
    first: IpAddr,
}

impl Block {
    /// The numbers of low bits of a block; they limit the size of a list.
    pub const SIZES: [u8; 2] = [Self::SMALLEST, Self::WIDEST];
    const SMALLEST: u8 = 8;
    const WIDEST: u8 = 12;

    pub fn around(address: IpAddr, bits: u8) -> Self {
        let cut = |number: u128| number >> bits << bits;
        Self {
            bits,
            first: like(address, cut(number(address))),
        }
    }

    /// The smallest block with both; if there is none, the widest around the first.
    pub fn with(first: IpAddr, last: IpAddr) -> Result<Self, Self> {
        let sizes = Self::SIZES.iter();
        let mut blocks = sizes.map(|bits| (Self::around(first, *bits), Self::around(last, *bits)));
        match blocks.find(|(one, other)| one == other) {
            Some((block, _)) => Ok(block),
            None => Err(Self::around(first, Self::WIDEST)),
        }
    }

    pub fn of_smallest(address: IpAddr) -> Self {
        Self::around(address, Self::SMALLEST)
    }

    pub fn is_smallest(self) -> bool {
        self.bits == Self::SMALLEST
    }

    pub fn of_widest(address: IpAddr) -> Self {
        Self::around(address, Self::WIDEST)
    }

    pub fn first(self) -> IpAddr {
        self.first
    }

    pub fn last(self) -> IpAddr {
        like(self.first, number(self.first) | ((1 << self.bits) - 1))
    }

    /// The following block; `None` at the end of the address family.
    pub fn next(self) -> Option<Self> {
        let behind = number(self.last()).checked_add(1)?;
        let is_address = self.first.is_ipv6() || behind <= u128::from(u32::MAX);
        is_address.then(|| Self {
            first: like(self.first, behind),
            ..self
        })
    }

    pub fn label(self) -> (String, String) {
        (format!("{BLOCK}{}", self.bits), address_word(self.first))
    }

    /// The distance to the other block, in blocks.
    pub fn distance(self, other: Self) -> u128 {
        number(other.first).saturating_sub(number(self.first)) >> self.bits
    }

    pub fn holds(self, address: IpAddr) -> bool {
        Self::around(address, self.bits) == self
    }
}

fn like(family: IpAddr, number: u128) -> IpAddr {
    match family {
        IpAddr::V4(_) => std::net::Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::from(number).into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_smallest_block_that_has_a_range_is_listed() {
        let with = |first: &str, last: &str| Block::with(ip(first), ip(last)).map(Block::label);
        let label =
            |bits: u8, first: &str| (format!("podconfig.dev/block-{bits}"), first.to_owned());
        assert_eq!(with("10.99.3.1", "10.99.3.254"), Ok(label(8, "10.99.3.0")));
        assert_eq!(with("10.99.3.1", "10.99.4.1"), Ok(label(12, "10.99.0.0")));
        assert!(Block::with(ip("10.99.3.1"), ip("10.99.16.1")).is_err());
        assert_eq!(
            with("fd99::1", "fd99::fe"),
            Ok(label(8, "fd99.0000.0000.0000.0000.0000.0000.0000"))
        );
    }

    #[test]
    fn behind_the_last_block_there_is_none() {
        assert_eq!(Block::of_widest(ip("255.255.255.255")).next(), None);
        let next = Block::of_widest(ip("10.99.0.1")).next().unwrap();
        assert_eq!(
            (next.first(), next.last()),
            (ip("10.99.16.0"), ip("10.99.31.255"))
        );
        assert!(next.holds(ip("10.99.20.1")) && !next.holds(ip("10.99.0.1")));
    }
}
