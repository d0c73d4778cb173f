//! What processes in a jail may do: four capabilities, no new privileges, no core files, no abstract sockets.

/// How many processes there can be.
pub mod process_numbers;
/// Unix sockets without a file.
mod scope;

use nix::{
    sched::{CloneFlags, unshare},
    sys::resource::{Resource, setrlimit},
};
use rustix::{
    process::{DumpableBehavior, set_dumpable_behavior},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    },
};

const MOST_FILES: u64 = 1024;

/// NET_ADMIN: links, rules, routes. SYS_ADMIN: to enter the pod's namespace. NET_RAW: DHCP, ARP, and iptables of the
/// older kind. DAC_OVERRIDE: folders and sockets of others.
fn kept() -> CapabilitySet {
    CapabilitySet::NET_ADMIN
        | CapabilitySet::SYS_ADMIN
        | CapabilitySet::NET_RAW
        | CapabilitySet::DAC_OVERRIDE
}

pub fn apply() -> Result<(), String> {
    let failed = |what: &str, error: std::io::Error| format!("cannot {what}: {error}");
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|e| failed("forbid core files", e.into()))?;
    setrlimit(Resource::RLIMIT_NOFILE, MOST_FILES, MOST_FILES)
        .map_err(|e| failed("limit open files", e.into()))?;
    // The name of the node is no plugin's.
    unshare(CloneFlags::CLONE_NEWUTS).map_err(|e| failed("keep the node's name", e.into()))?;
    let has = capabilities(None).map_err(|e| failed("read the capabilities", e.into()))?;
    let others = CapabilitySet::all()
        .iter()
        .filter(|one| !kept().contains(*one));
    // Without SETPCAP the runtime has bounded them already.
    for capability in others.filter(|_| has.effective.contains(CapabilitySet::SETPCAP)) {
        // One that the kernel does not know needs nothing.
        if capability_is_in_bounding_set(capability).unwrap_or(false) {
            remove_capability_from_bounding_set(capability)
                .map_err(|e| failed("drop a capability", e.into()))?;
        }
    }
    let sets = CapabilitySets {
        effective: kept(),
        permitted: kept(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).map_err(|e| failed("keep four capabilities", e.into()))?;
    set_no_new_privs(true).map_err(|e| failed("forbid new privileges", e.into()))?;
    scope::forbid_abstract_sockets().map_err(|e| failed("forbid abstract sockets", e))?;
    // Process 1: without this its root, descriptors and memory are in a plugin's /proc. Programs that it executes are
    // dumpable again, as they expect.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| failed("cover process 1", e.into()))
}
