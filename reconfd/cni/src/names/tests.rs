use super::*;

#[test]
fn attack_8_a_plugin_type_is_no_path() {
    for name in [
        "../bridge",
        "/tmp/x",
        "a/b",
        "..",
        ".hidden",
        "-x",
        "",
        "a b",
        "a\0b",
        "ｂridge",
        "a\n",
    ] {
        assert!(plugin_type(name).is_err(), "{name:?}");
    }
    for name in ["bridge", "ovn-k8s-cni-overlay", "host-local", "a.b_c"] {
        assert_eq!(plugin_type(name), Ok(()));
    }
    assert!(plugin_type(&"a".repeat(65)).is_err());
}

#[test]
fn networks_and_containers_follow_libcni() {
    for name in ["", "_x", "a/b", "a:b", "ä", "a b"] {
        assert!(network(name).is_err(), "{name:?}");
        assert!(container_id(name).is_err(), "{name:?}");
    }
    assert_eq!(network("pc.team-a.0123abcd"), Ok(()));
    assert_eq!(container_id(&"f".repeat(64)), Ok(()));
}

#[test]
fn the_longest_names_fit_in_a_file_name() {
    assert_eq!(network(&"n".repeat(150)), Ok(()));
    assert!(network(&"n".repeat(151)).is_err());
    assert!(container_id(&"c".repeat(77)).is_err());
    const { assert!(LONGEST_NETWORK + LONGEST_CONTAINER_ID + LONGEST_INTERFACE + 2 <= 243) };
}

#[test]
fn attack_23_reserved_and_numbered_interfaces_are_refused() {
    for name in ["eth0", "lo", "all", "default"] {
        assert_eq!(interface(name), Ok(()));
        assert!(attached_interface(name).is_err(), "{name}");
    }
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "a:b",
        "a b",
        "net%d",
        "nét1",
        "a\u{7f}",
        "0123456789abcdef",
    ] {
        assert!(attached_interface(name).is_err(), "{name:?}");
    }
    assert_eq!(attached_interface("net1"), Ok(()));
    assert_eq!(attached_interface("pod0123456789a"), Ok(()));
}

#[test]
fn attack_22_a_word_of_cni_args_ends_no_other_pair() {
    for word in [
        "10.0.0.1;K8S_POD_NAMESPACE=kube-system",
        "a=b",
        "a\nb",
        "a\0",
    ] {
        assert!(cni_arg(word).is_err(), "{word:?}");
    }
    assert_eq!(cni_arg("10.0.0.1/24,fd00::1/64"), Ok(()));
}

#[test]
fn an_error_shows_a_short_and_printable_name() {
    let error = network(&"\u{1b}[31m".repeat(1000)).unwrap_err().to_string();
    assert!(
        error.len() < 200 && !error.chars().any(char::is_control),
        "{error}"
    );
}
