#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;

use crds::{
    ReservedNetworksSpec,
    reserved::{Source, Usage},
};
use tempfile::tempdir;

use super::*;

fn network(prefix: &str) -> ReservedNetwork {
    ReservedNetwork {
        prefix: prefix.parse().unwrap(),
        usage: Usage::Pods,
        source: Source::Calico,
        kind: "IPPool.crd.projectcalico.org".into(),
        object: "default".into(),
        field: "spec.cidr".into(),
        since: Some(Time(Timestamp::from_second(0).unwrap())),
    }
}

fn unknown() -> SourceState {
    SourceState {
        source: Source::MetalLB,
        asked: "IPAddressPool.metallb.io".into(),
        state: ReadState::Unknown,
        message: "403".into(),
    }
}

#[test]
fn the_table_is_sorted_by_prefix_and_names_what_is_unknown() {
    let snapshot = Snapshot {
        written: None,
        unknown: Some("IPAddressPool.metallb.io: 403".into()),
        networks: vec![network("10.0.0.0/8"), network("fd00::/8")],
        sources: vec![unknown()],
    };
    let expected = "\
PREFIX      USE   SOURCE  KIND                          OBJECT   FIELD      SINCE
10.0.0.0/8  Pods  Calico  IPPool.crd.projectcalico.org  default  spec.cidr  1970-01-01T00:00:00Z
fd00::/8    Pods  Calico  IPPool.crd.projectcalico.org  default  spec.cidr  1970-01-01T00:00:00Z

Unknown; no new address is given out:
  IPAddressPool.metallb.io: 403
";
    assert_eq!(table::of(&snapshot), expected);
    let all_known = Snapshot {
        unknown: None,
        sources: Vec::new(),
        ..snapshot
    };
    assert_eq!(table::of(&all_known).lines().count(), 3);
}

#[test]
fn a_daemon_keeps_what_it_knows_for_itself_and_writes_what_is_new() {
    let folder = tempdir().unwrap();
    let at = path(folder.path(), "default");
    fs::write(&at, "what an earlier one left").unwrap();
    let mut file = SnapshotFile::create(folder.path(), "default").unwrap();
    assert!(!at.exists());
    let mut write = |networks: &[&str]| {
        let networks: Vec<_> = networks.iter().map(|prefix| network(prefix)).collect();
        file.write(networks.into_iter(), vec![unknown()], None)
            .unwrap();
        fs::metadata(&at).unwrap()
    };
    let first = write(&["fd00::/8", "10.0.0.0/8"]);
    assert_eq!(first.permissions().mode() & 0o777, 0o600);
    let again = write(&["10.0.0.0/8", "fd00::/8"]);
    let inode = |meta: &fs::Metadata| std::os::unix::fs::MetadataExt::ino(meta);
    assert_eq!(inode(&first), inode(&again), "nothing was new");
    assert_ne!(inode(&write(&["10.0.0.0/8"])), inode(&again));
    let snapshot: Snapshot = serde_json::from_slice(&fs::read(&at).unwrap()).unwrap();
    assert_eq!(snapshot.networks.len(), 1);
}

fn config(folder: &Path) -> NetworksConfig {
    NetworksConfig {
        installation: Installation {
            name: "default".into(),
        },
        run_dir: RunDir {
            path: folder.to_owned(),
        },
        cluster: false,
        output: Output::Json,
        logging: Logging {
            format: args::LogFormat::Auto,
            filter: "info".into(),
        },
    }
}

#[test]
fn where_no_daemon_runs_that_is_said() {
    let folder = tempdir().unwrap();
    let refused = of_node(&config(folder.path())).unwrap_err().to_string();
    assert!(
        refused.contains("no daemon of this installation runs here"),
        "{refused}"
    );
    let _lock = lock::take(folder.path(), "default").unwrap();
    let refused = of_node(&config(folder.path())).unwrap_err().to_string();
    assert!(
        refused.contains("has not read the networks yet"),
        "{refused}"
    );
    let mut file = SnapshotFile::create(folder.path(), "default").unwrap();
    file.write([network("10.0.0.0/8")].into_iter(), Vec::new(), None)
        .unwrap();
    assert_eq!(of_node(&config(folder.path())).unwrap().networks.len(), 1);
}

#[test]
fn of_a_cluster_the_objects_of_one_installation_are_gathered() {
    let object = |name: &str, installation: &str, networks: &[&str]| {
        let spec = ReservedNetworksSpec {
            installation: installation.into(),
            networks: networks.iter().map(|prefix| network(prefix)).collect(),
            ..ReservedNetworksSpec::default()
        };
        ReservedNetworks::new(name, spec)
    };
    let lists = [
        object("default.0", "default", &["fd00::/8"]),
        object("default.1", "default", &["10.0.0.0/8"]),
        object("other.0", "other", &["172.16.0.0/12"]),
    ];
    let missing = gathered("default", lists.to_vec()).unwrap_err().to_string();
    assert!(missing.contains("has not published any yet"), "{missing}");
    let mut head = object("default", "default", &[]);
    head.spec.sources = vec![unknown()];
    let snapshot = gathered("default", [&lists[..], &[head]].concat()).unwrap();
    let prefixes: Vec<String> = snapshot
        .networks
        .iter()
        .map(|n| n.prefix.to_string())
        .collect();
    assert_eq!(prefixes, ["10.0.0.0/8", "fd00::/8"]);
    assert_eq!(
        snapshot.unknown.as_deref(),
        Some("IPAddressPool.metallb.io: 403")
    );
}
