//! Broken manifests: told by file, document and field; the last good version stays in force.

/// What is broken, and how.
mod cases;
/// What goes on while something is broken.
mod lastgood;

use std::{fs, os::unix::fs::symlink, time::Duration};

use cases::{FILES, LINKS};

use crate::support::{
    look::{addresses, index},
    manifests::{config, on_bridge},
    node::TestNode,
    wait::{eventually, seen, stays, within},
};

/// A node with one healthy link, which every story here must leave alone.
fn with_a_healthy_link<T>(
    story: impl FnOnce(&TestNode, &crate::support::daemon::Daemon) -> T,
) -> T {
    let (node, daemon) = TestNode::builder().any_veth().start_with_daemon();
    let pod = node.connected("tenant-a", "healthy", "10.1.0.1/24");
    let before = index(&pod.ready("data0"));
    let value = story(&node, &daemon);
    assert_eq!(
        index(&pod.link("data0")),
        before,
        "the healthy link was disturbed"
    );
    node.connect("tenant-a", "healthy", "data0", "10.1.0.9/24");
    eventually("the daemon still works", || {
        let link = pod.find("data0").ok_or("no link")?;
        seen(addresses(&link) == ["10.1.0.9/24"], link)
    });
    for line in daemon.log().lines() {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(
            parsed.is_ok_and(|value| value.is_object()),
            "a log line is no JSON object: {line}"
        );
    }
    value
}

/// What refused.yaml says of one file, as text.
fn refusal(node: &TestNode, file: &str) -> Option<String> {
    let text = node.refused();
    let all: serde_json::Value = serde_saphyr::from_str(&text).ok()?;
    let of_file: Vec<String> = all["refused"]
        .as_array()?
        .iter()
        .filter(|one| one["file"].as_str().is_some_and(|name| name.contains(file)))
        .map(ToString::to_string)
        .collect();
    (!of_file.is_empty()).then(|| of_file.join("\n"))
}

/// Attacks 3, 4, 11 and 12: addresses, names, MTUs, MACs and routes that are never right.
#[test]
fn every_broken_link_is_refused_with_the_field_named_and_disturbs_nothing() {
    with_a_healthy_link(|node, _| {
        let pod = node.bare_pod("tenant-a", "target");
        for (number, (links, _)) in LINKS.iter().enumerate() {
            let name = format!("broken-{number:02}");
            node.configure("tenant-a", &name, "target", links);
        }
        for (number, (links, field)) in LINKS.iter().enumerate() {
            let file = format!("broken-{number:02}");
            let told = eventually(&format!("{links} is refused"), || {
                refusal(node, &file).ok_or_else(|| node.refused())
            });
            assert!(
                told.contains(field),
                "{links}\nis refused without {field}: {told}"
            );
        }
        let links = pod.ip(&["link", "show"]);
        assert_eq!(links.as_array().unwrap().len(), 1, "only lo: {links}");
    });
}

/// Attack 19 among others: names that would forge a line of the log.
#[test]
fn every_broken_file_is_refused_by_its_name_and_disturbs_nothing() {
    with_a_healthy_link(|node, _| {
        for (name, text) in FILES {
            node.apply(name, text);
        }
        for (name, _) in FILES {
            eventually(&format!("{name} is refused"), || {
                refusal(node, name).map(drop).ok_or_else(|| node.refused())
            });
        }
        assert!(!node.path("/etc/web.yaml").exists() && !node.path("/run/etc").exists());
    });
}

#[test]
fn more_links_or_addresses_than_the_bounds_are_refused() {
    with_a_healthy_link(|node, _| {
        let links: Vec<String> = (0..33)
            .map(|n| format!("{{name: l{n}, veth: {{bridge: b{n}}}}}"))
            .collect();
        node.configure(
            "tenant-a",
            "many-links",
            "x",
            &format!("[{}]", links.join(", ")),
        );
        let all: Vec<String> = (1..10).map(|n| format!("10.1.0.{n}/24")).collect();
        let link = format!(
            "[{{name: a, veth: {{bridge: b}}, addresses: [{}]}}]",
            all.join(", ")
        );
        node.configure("tenant-a", "many-addresses", "x", &link);
        for (file, field) in [("many-links", "links"), ("many-addresses", "addresses")] {
            let told = eventually("it is refused", || {
                refusal(node, file).ok_or_else(|| node.refused())
            });
            assert!(told.contains(field), "{told}");
        }
    });
}

#[test]
fn files_that_are_no_files_and_files_without_end_block_nothing() {
    with_a_healthy_link(|node, daemon| {
        let folder = node.path("/run/podconfig/objects");
        fs::create_dir(folder.join("folder.yaml")).unwrap();
        node.run(&["mkfifo", "/run/podconfig/objects/fifo.yaml"]);
        symlink("/dev/zero", folder.join("zero.yaml")).unwrap();
        symlink("loop.yaml", folder.join("loop.yaml")).unwrap();
        symlink("/nowhere", folder.join("dangling.yaml")).unwrap();
        fs::write(folder.join("bytes.yaml"), [0xff, 0xfe, 0x00, 0x80]).unwrap();
        fs::write(folder.join("huge.yaml"), "# nothing\n".repeat(4 << 20)).unwrap();
        fs::write(folder.join("deep.yaml"), "[".repeat(200_000)).unwrap();
        let laughs = (1..12).fold(
            "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(),
            |text, n| {
                let before = format!("*a{}", n - 1);
                text + &format!("a{n}: &a{n} [{}]\n", [before.as_str(); 9].join(", "))
            },
        );
        fs::write(folder.join("laughs.yaml"), laughs).unwrap();
        for file in ["fifo", "zero", "bytes", "huge", "deep", "laughs"] {
            within(
                Duration::from_secs(8),
                &format!("{file}.yaml is told"),
                || refusal(node, file).map(drop).ok_or_else(|| node.refused()),
            );
        }
        assert!(daemon.resident() < 120 << 20, "{} bytes", daemon.resident());
    });
}

#[test]
fn the_same_object_in_two_files_is_told() {
    with_a_healthy_link(|node, _| {
        let pod = node.bare_pod("tenant-a", "web-0");
        node.apply(
            "one",
            &config(
                "tenant-a",
                "twice",
                "web-0",
                &on_bridge("data0", "red", "10.5.0.1/24"),
            ),
        );
        pod.ready("data0");
        node.apply(
            "two",
            &config(
                "tenant-a",
                "twice",
                "web-0",
                &on_bridge("data0", "red", "10.5.0.2/24"),
            ),
        );
        eventually("the double is told", || {
            let text = node.refused();
            seen(text.contains("two") || text.contains("one"), text)
        });
        assert_eq!(addresses(&pod.link("data0")).len(), 1);
    });
}

#[test]
fn a_hidden_file_and_one_of_another_kind_are_not_read() {
    with_a_healthy_link(|node, _| {
        let pod = node.bare_pod("tenant-a", "web-0");
        let text = config(
            "tenant-a",
            "hidden",
            "web-0",
            &on_bridge("data0", "red", "10.5.0.1/24"),
        );
        let folder = node.path("/run/podconfig/objects");
        fs::write(folder.join(".hidden.yaml"), &text).unwrap();
        fs::write(folder.join("notes.txt"), &text).unwrap();
        fs::write(folder.join("backup.yaml~"), &text).unwrap();
        stays("nobody acts on them", Duration::from_millis(150), || {
            seen(pod.find("data0").is_none(), "a link")
        });
    });
}
