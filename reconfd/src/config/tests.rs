#![allow(clippy::unwrap_used)]

use std::path::Path;

use args::Listen;
use clap::CommandFactory as _;

use super::*;

const NEEDED: [&str; 3] = ["reconfd", "--source", "directory:/etc/podconfig"];

fn with(more: &[&str]) -> Result<Config, String> {
    Config::try_parse_from(NEEDED.iter().chain(more)).map_err(|error| error.to_string())
}

#[test]
fn the_flags_hold_together() {
    Config::command().debug_assert();
}

#[test]
fn one_flag_is_enough() {
    let config = with(&[]).unwrap();
    assert_eq!(
        config.source,
        ObjectSource::Directory("/etc/podconfig".into())
    );
    assert_eq!(config.records.path, Path::new("/run/podconfig/records"));
    assert_eq!(config.netns.folders, [Path::new("/run/netns")]);
    assert_eq!(config.installation.name, "default");
    assert_eq!(
        config.listen.at,
        Listen::At("127.0.0.1:9478".parse().unwrap())
    );
    assert_eq!(config.node_name, host_name());
    assert_eq!(config.logging.format, args::LogFormat::Auto);
}

#[test]
fn others_than_the_plugin_are_listened_to_on_a_cluster_or_when_they_are_named() {
    assert_eq!(with(&[]).unwrap().cni_cache(), None);
    let named = with(&["--cni-cache", "/var/lib/cni/results"]).unwrap();
    assert_eq!(named.cni_cache(), Some(Path::new("/var/lib/cni/results")));
    let on_cluster = |more: &[&str]| {
        let words = ["reconfd", "--source", "cluster"];
        Config::try_parse_from(words.iter().chain(more)).unwrap()
    };
    let usual = on_cluster(&[]);
    assert_eq!(usual.cni_cache(), Some(Path::new("/var/lib/cni/results")));
    assert_eq!(usual.cri_socket, None);
    assert_eq!(on_cluster(&["--cni-cache", "off"]).cni_cache(), None);
}

#[test]
fn a_cri_socket_is_a_unix_socket() {
    for text in ["/run/crio/crio.sock", "unix:///run/crio/crio.sock"] {
        let config = with(&["--cri-socket", text]).unwrap();
        assert_eq!(
            config.cri_socket.as_deref(),
            Some(Path::new("/run/crio/crio.sock"))
        );
    }
    for text in ["tcp://127.0.0.1:1", "crio.sock", ""] {
        assert!(with(&["--cri-socket", text]).is_err(), "{text}");
    }
}

#[test]
fn runtime_classes_that_are_unsupported_may_be_named_or_none() {
    let classes = |more: &[&str]| with(more).unwrap().unsupported_runtime_classes;
    assert!(classes(&[]).contains(&"kata*".to_owned()));
    let named = classes(&["--unsupported-runtime-classes", "vm,guest-*"]);
    assert_eq!(named, ["vm", "guest-*"]);
    assert_eq!(classes(&["--unsupported-runtime-classes", ""]), [""]);
}

#[test]
fn without_a_source_nothing_starts() {
    assert!(Config::try_parse_from(["reconfd"]).is_err());
}

#[test]
fn which_cluster_is_no_business_of_a_flag() {
    assert_eq!("cluster".parse(), Ok(ObjectSource::Cluster));
    let refused = "cluster:https://10.0.0.1"
        .parse::<ObjectSource>()
        .unwrap_err();
    assert!(refused.contains("KUBECONFIG"), "{refused}");
}

#[test]
fn a_source_that_is_none_is_refused_in_words() {
    for text in [
        "",
        "/etc/podconfig",
        "directory",
        "directory:",
        "file:/x",
        "Directory:/x",
    ] {
        assert!(
            text.parse::<ObjectSource>()
                .unwrap_err()
                .contains("directory:"),
            "{text}"
        );
    }
    assert_eq!(
        "directory:a:b".parse(),
        Ok(ObjectSource::Directory("a:b".into()))
    );
}

#[test]
fn several_netns_folders_may_be_given() {
    let config = with(&[
        "--netns-folder",
        "/run/netns",
        "--netns-folder",
        "/var/run/docker/netns",
    ])
    .unwrap();
    assert_eq!(config.netns.folders.len(), 2);
    assert_eq!(
        with(&["--netns-folder", "/a:/b"]).unwrap().netns.folders,
        [Path::new("/a"), Path::new("/b")]
    );
}

#[test]
fn reports_lie_beside_the_manifests_and_never_among_them() {
    let reports = |flags: &[&str], manifests: &str| {
        let config = with(flags).unwrap();
        config.reports(Path::new(manifests))
    };
    for manifests in ["/etc/podconfig", "/etc/podconfig/"] {
        let beside = reports(&[], manifests).unwrap();
        assert_eq!(beside, Path::new("/etc/podconfig-reports"));
    }
    for among in ["/etc/podconfig", "/etc/podconfig/reports"] {
        let refused = reports(&["--reports", among], "/etc/podconfig").unwrap_err();
        assert!(refused.contains("inside of the manifests"), "{refused}");
    }
    let named = reports(&["--reports", "/r"], "/etc/podconfig").unwrap();
    assert_eq!(named, Path::new("/r"));
}

#[test]
fn a_log_filter_or_a_node_name_that_is_none_is_refused() {
    assert!(with(&["--log", "info,node=debug"]).is_ok());
    assert!(with(&["--log", "reconfd=loud"]).is_err());
    assert!(with(&["--log-format", "xml"]).is_err());
    for odd in ["", "a b", "a\nb", "a/b"] {
        assert!(node_name(odd).is_err(), "{odd}");
    }
}

#[test]
fn on_a_cluster_the_daemon_adopts_the_switch_and_alone_it_makes_it() {
    assert_eq!(with(&[]).unwrap().maker(), Maker::Itself);
    assert_eq!(with(&["--switch", "adopt"]).unwrap().maker(), Maker::Other);
    let cluster = Config::try_parse_from(["reconfd", "--source", "cluster"]).unwrap();
    assert_eq!(cluster.maker(), Maker::Other);
}
