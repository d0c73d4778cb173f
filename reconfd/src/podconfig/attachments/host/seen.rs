//! What a pod has before and after ADD.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use attachments::{
    entry::{Entry, Facts, Slot},
    status::Failure,
};
use cni::{CniResult, FrozenChain, result::IpConfig};
use crds::Mac;
use ipnetwork::IpNetwork;
use node::{attached::AttachedLinks, link_info::LinkInfo};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kernel;

/// The pod before ADD.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Before {
    pub links: BTreeSet<u32>,
    pub addresses: BTreeMap<u32, BTreeSet<IpNetwork>>,
    /// Default routes that are to be replaced, as netlink messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Vec<u8>>,
}

impl Before {
    pub fn to_value(&self) -> Value {
        json!(self)
    }

    pub fn of(entry: &Entry) -> Self {
        let before = entry.before.clone();
        let read = before.and_then(|before| serde_json::from_value(before).ok());
        read.unwrap_or_default()
    }
}

/// The pod after ADD.
pub struct Seen {
    pub link: Option<LinkInfo>,
    pub links: BTreeMap<u32, String>,
    pub addresses: BTreeMap<u32, BTreeSet<IpNetwork>>,
}

impl Seen {
    pub fn read(pod: &mut AttachedLinks, name: &str) -> Result<Self, Failure> {
        let links = pod.links().map_err(kernel)?;
        let addresses = addresses(pod)?;
        Ok(Self {
            links: links.values().map(|l| (l.index, l.name.clone())).collect(),
            link: links.into_values().find(|link| link.name == *name),
            addresses,
        })
    }

    /// A result with the addresses that the link has beside it.
    pub fn with_its_addresses(&self, result: &CniResult) -> CniResult {
        let link = self.link.as_ref();
        let on_link = link.and_then(|link| self.addresses.get(&link.index));
        let mut all = result.clone();
        all.ips
            .extend(on_link.into_iter().flatten().map(|address| IpConfig {
                address: *address,
                gateway: None,
                interface: None,
            }));
        all
    }

    pub fn facts(&self) -> Facts {
        self.link.as_ref().map(facts_of).unwrap_or_default()
    }

    /// The result that an ADD would have had, which was cut off: for the DEL of plugins that know their rules by its
    /// addresses alone. A tenant may have put any on the link, so those of other attachments are left out.
    pub fn result(&self, chain: &FrozenChain, stored: &[Entry]) -> Option<Value> {
        let link = self.link.as_ref()?;
        let others = stored
            .iter()
            .filter(|entry| entry.slot() != Slot::of(chain));
        let others = others.filter_map(|entry| CniResult::from_value(entry.result.clone()?).ok());
        let others: BTreeSet<IpAddr> = others
            .flat_map(|result| result.ips.into_iter().map(|ip| ip.address.ip()))
            .collect();
        let own = self.addresses.get(&link.index)?.iter();
        let own = own.filter(|address| !others.contains(&address.ip()));
        let ips: Vec<Value> = own
            .map(|address| json!({"address": address, "interface": 0}))
            .collect();
        let interface = json!({"name": link.name, "sandbox": chain.netns});
        let result = json!({"cniVersion": "1.0.0", "interfaces": [interface], "ips": ips});
        let result = CniResult::from_value(result).ok()?;
        (!ips.is_empty()).then(|| result.render(chain.cni_version))
    }
}

fn facts_of(link: &LinkInfo) -> Facts {
    Facts {
        ifindex: Some(link.index),
        mac: link.mac.map(|mac| Mac(mac).to_string()),
        mtu: Some(link.mtu),
        host_links: Vec::new(),
    }
}

/// What there is of an interface that Multus attached: by its name; if nothing has that any more, by the MAC address of
/// its result, where one link alone has it.
pub fn of_multus(entry: &Entry, links: &HashMap<u32, LinkInfo>) -> Facts {
    let by_name = links.values().find(|link| link.name == entry.chain.ifname);
    let link = by_name.or_else(|| renamed(entry, links));
    link.map(facts_of).unwrap_or_default()
}

fn renamed<'a>(entry: &Entry, links: &'a HashMap<u32, LinkInfo>) -> Option<&'a LinkInfo> {
    let result = CniResult::from_value(entry.result.clone()?).ok()?;
    let mut interfaces = result.interfaces.iter();
    let written = interfaces.find(|interface| interface.name == entry.chain.ifname)?;
    let mac = written.mac.as_deref()?.parse::<Mac>().ok()?;
    let mut all = links.values().filter(|link| link.mac == Some(mac.0));
    all.next().filter(|_| all.next().is_none())
}

/// Addresses that others can reach, by link.
pub fn addresses(pod: &mut AttachedLinks) -> Result<BTreeMap<u32, BTreeSet<IpNetwork>>, Failure> {
    let mut by_link: BTreeMap<u32, BTreeSet<IpNetwork>> = BTreeMap::new();
    for address in pod.addresses().map_err(kernel)? {
        let is_local = match address.network.ip() {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if !is_local {
            by_link
                .entry(address.index)
                .or_default()
                .insert(address.network);
        }
    }
    Ok(by_link)
}
