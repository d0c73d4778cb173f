//! Validation of names that may become part of a path, an interface name or a log line. Names are never
//! repaired: an invalid one is refused.

use std::path::{Component, Path};

/// The specification's rule for container ids and network names: `^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`. 128
/// characters are twice what runtimes use and still fit into a file name.
pub fn is_container_id(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.len() <= 128
        && text.bytes().all(inner)
        && text
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
}

/// The specification's rule for interface names, which is the kernel's, without characters that are special
/// to a shell or a log: no `%` (the kernel expands `%d`), only printable ASCII.
pub fn is_ifname(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_graphic() && !b"/:%".contains(&byte);
    (1..=15).contains(&text.len()) && text != "." && text != ".." && text.bytes().all(inner)
}

/// The name of a Kubernetes namespace (a label) or pod (a subdomain).
pub fn is_dns_name(text: &str, most: usize) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.iter().all(|byte| edge(*byte) || *byte == b'-')
            && bytes.first().is_some_and(|byte| edge(*byte))
            && bytes.last().is_some_and(|byte| edge(*byte))
    };
    text.len() <= most && text.split('.').all(label)
}

/// A pod's uid (usually a UUID; a hash for static pods) or a boot id.
pub fn is_uid(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(inner)
}

/// An absolute UTF-8 path without `..`, not longer than the kernel's limit.
pub fn is_plain_path(path: &Path) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    path.is_absolute()
        && path.components().all(plain)
        && path
            .to_str()
            .is_some_and(|text| text.len() < 4096 && !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in [
            "", ".", "..", "../x", "a/b", "/a", ".hidden", "-a", "a b", "a\n", "a\0", "é", "a%00/",
        ] {
            assert!(!is_container_id(name), "{name:?}");
        }
        for name in ["a", "0-_.", "c0ffee"] {
            assert!(is_container_id(name), "{name:?}");
        }
        assert!(!is_container_id(&"a".repeat(129)));
    }

    #[test]
    fn interface_names_are_the_kernels() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "a\tb",
            "a\n",
            "a\0",
            "eth%d",
            "é",
            "sixteen-bytes-16",
        ] {
            assert!(!is_ifname(name), "{name:?}");
        }
        for name in ["eth0", "net1.200", "fifteen-bytes-1", "..."] {
            assert!(is_ifname(name), "{name:?}");
        }
    }

    #[test]
    fn pods_are_named_as_kubernetes_names_them() {
        for name in ["", "A", "a_b", "a..b", "-a", "a-", "a.", "a/b", "a\n"] {
            assert!(!is_dns_name(name, 253), "{name:?}");
        }
        assert!(is_dns_name("web-0.x9", 253));
        assert!(!is_dns_name(&"a".repeat(64), 63));
    }
}
