//! install/README.md lists the rights, admission policies, containers and capabilities of the chart.

use std::collections::BTreeMap;

use serde_json::Value;
use store::kinds::{KindRow, ObjectKind, Removal, Selection};

use crate::{Names, in_code, listed, read, rows};

/// What differs with plugins in `reinvoke.plugins`.
const REINVOKE: &str = "tests/install/reinvoke.yaml";
/// How the page marks it.
const ONLY_WITH_PLUGINS: &str = "only with `reinvoke.plugins`";

/// The objects in a file of the installation.
fn objects(path: &str) -> Vec<Value> {
    let text = read(path);
    let parts = text.split("\n---\n").filter(|part| part.contains("kind:"));
    let parsed = parts.map(|part| serde_saphyr::from_str::<Value>(part).unwrap());
    let flat = parsed.flat_map(|object| match object["kind"] == "List" {
        true => object["items"].as_array().cloned().unwrap_or_default(),
        false => vec![object],
    });
    flat.collect()
}

fn name(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn named(objects: &[Value], kind: &str) -> Names {
    let of_kind = objects.iter().filter(|object| object["kind"] == kind);
    of_kind.map(name).collect()
}

fn strings(list: &Value) -> Vec<&str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).collect()
}

#[test]
fn every_admission_policy_is_listed() {
    let chart = named(
        &objects("install/install.yaml"),
        "ValidatingAdmissionPolicy",
    );
    assert_eq!(listed("install/README.md", "Admission policies"), chart);
}

/// `verb resource[.group][ named NAME]`, one for each right. podconfig's own group and the core group are left out.
fn granted(files: &[&str], role: &str) -> Names {
    let mut rights = Names::new();
    let objects: Vec<Value> = files.iter().flat_map(|file| objects(file)).collect();
    let roles = objects.iter().filter(|object| {
        let kind = object["kind"].as_str().unwrap_or_default();
        let cluster = format!("{role}-cluster");
        ["Role", "ClusterRole"].contains(&kind) && [role, &cluster].contains(&&*name(object))
    });
    for rule in roles.flat_map(|role| role["rules"].as_array().cloned().unwrap()) {
        for group in strings(&rule["apiGroups"]) {
            for resource in strings(&rule["resources"]) {
                let resource = match group {
                    "" | "podconfig.dev" => resource.to_owned(),
                    _ => format!("{resource}.{group}"),
                };
                let names = strings(&rule["resourceNames"]);
                let resources: Vec<String> = match names.is_empty() {
                    true => vec![resource],
                    false => names
                        .iter()
                        .map(|name| format!("{resource} named {name}"))
                        .collect(),
                };
                for verb in strings(&rule["verbs"]) {
                    rights.extend(resources.iter().map(|of| format!("{verb} {of}")));
                }
            }
        }
    }
    rights
}

fn listed_rights(rows: &[Vec<String>]) -> Names {
    let cells = |cell: &str| -> Vec<String> {
        let words = cell.split(", ");
        words.map(|word| word.replace('`', "")).collect()
    };
    let pairs = rows.iter().flat_map(|row| {
        let (verbs, resources) = (cells(&row[0]), cells(&row[1]));
        verbs.into_iter().flat_map(move |verb| {
            let each = resources.iter().map(|of| format!("{verb} {of}"));
            each.collect::<Vec<_>>()
        })
    });
    pairs.collect()
}

#[test]
fn every_right_is_listed() {
    let files = ["install/install.yaml", "install/uninstall.yaml"];
    let mut roles = Names::new();
    for file in files {
        roles.extend(named(&objects(file), "Role"));
        roles.extend(named(&objects(file), "ClusterRole"));
    }
    for role in &roles {
        let of = role.trim_end_matches("-cluster");
        let mut rows = rows("install/README.md", of);
        rows.retain(|row| !row[2].starts_with(ONLY_WITH_PLUGINS));
        assert_eq!(listed_rights(&rows), granted(&files, of), "{of}");
    }
    assert!(roles.len() > 7, "{roles:?}");
}

#[test]
fn every_right_with_plugins_is_listed() {
    for role in named(&objects(REINVOKE), "ClusterRole") {
        let rows = rows("install/README.md", &role);
        assert_eq!(listed_rights(&rows), granted(&[REINVOKE], &role), "{role}");
    }
}

/// The resource of a kind, with its group where `granted` has it.
fn resource(row: &KindRow) -> String {
    match row.api_version.split_once('/') {
        None | Some(("podconfig.dev", _)) => row.resource.to_owned(),
        Some((group, _)) => format!("{}.{group}", row.resource),
    }
}

/// The rights of a role to objects of the kinds in the table.
fn granted_to_kinds(file: &str, role: &str) -> Names {
    let kinds: Names = ObjectKind::ALL
        .iter()
        .map(|kind| resource(kind.row()))
        .collect();
    let mut rights = granted(&[file], role);
    rights.retain(|right| {
        right
            .split_once(' ')
            .is_some_and(|(_, of)| kinds.contains(of))
    });
    rights
}

fn expected(is_read: impl Fn(&KindRow) -> bool, writes: impl Fn(&KindRow) -> Verbs) -> Names {
    let of_kind = |kind: &ObjectKind| {
        let row = kind.row();
        let reads: Verbs = match is_read(row) {
            true => &["get", "list", "watch"],
            false => &[],
        };
        let verbs = reads.iter().chain(writes(row));
        verbs
            .map(|verb| format!("{verb} {}", resource(row)))
            .collect::<Vec<_>>()
    };
    ObjectKind::ALL.iter().flat_map(of_kind).collect()
}

type Verbs = &'static [&'static str];

#[test]
fn the_roles_grant_what_the_table_of_kinds_expects() {
    let is_read = |row: &KindRow| row.daemon.is_some();
    let without_runner = |row: &KindRow| is_read(row) && row.daemon != Some(Selection::WithRunner);
    let install = "install/install.yaml";
    let daemon = expected(without_runner, |row| row.daemon_writes);
    assert_eq!(granted_to_kinds(install, "podconfig-daemon"), daemon);
    let with_runner = expected(is_read, |row| row.daemon_writes);
    assert_eq!(granted_to_kinds(REINVOKE, "podconfig-daemon"), with_runner);
    assert_eq!(with_runner.len(), daemon.len() + 3);
    let controller = expected(|row| row.controller, |row| row.controller_writes);
    for file in [install, REINVOKE] {
        // As a source of reserved networks, whatever the table says.
        let mut granted = granted_to_kinds(file, "podconfig-controller");
        granted.retain(|right| !right.contains("network-attachment-definitions"));
        assert_eq!(granted, controller);
    }
    assert!(daemon.len() > 20 && controller.len() > 30);
}

/// An uninstallation deletes what the table says, and nothing else of podconfig.
#[test]
fn the_uninstallation_may_delete_what_the_table_of_kinds_says() {
    let granted = granted(&["install/uninstall.yaml"], "podconfig-uninstall");
    let removed = ObjectKind::ALL
        .iter()
        .filter(|kind| kind.row().uninstall != Removal::Nothing);
    let removed: Names = removed.map(|kind| kind.plural().to_owned()).collect();
    let kinds = crds::definition::all().into_iter();
    let may = |verb: &str| -> Names {
        let kinds = kinds.clone().map(|(_, of)| of.spec.names.plural);
        kinds
            .filter(|kind| granted.contains(&format!("{verb} {kind}")))
            .collect()
    };
    assert_eq!(may("delete"), removed);
    assert!(removed.is_subset(&may("list")), "{removed:?}");
}

/// Where a kind has namespaces, its rights are given in these alone.
#[test]
fn the_table_of_kinds_has_the_scopes_of_the_definitions() {
    let definitions = crds::definition::all();
    for (_, definition) in &definitions {
        let spec = &definition.spec;
        let kind = ObjectKind::ALL
            .iter()
            .find(|kind| kind.as_str() == spec.names.kind);
        let kind = kind.unwrap_or_else(|| panic!("{} has no row", spec.names.kind));
        let row = kind.row();
        let version = &spec.versions[0].name;
        assert_eq!(row.resource, spec.names.plural);
        assert_eq!(row.api_version, format!("{}/{version}", spec.group));
        assert_eq!(row.has_namespace, spec.scope == "Namespaced", "{kind:?}");
    }
}

/// The containers of the daemon's pod, by name.
fn containers(file: &str) -> BTreeMap<String, Value> {
    let mut daemons = objects(file).into_iter();
    let daemon = daemons
        .find(|object| object["kind"] == "DaemonSet")
        .unwrap();
    let spec = &daemon["spec"]["template"]["spec"];
    let lists = [&spec["initContainers"], &spec["containers"]];
    let all = lists.into_iter().flat_map(|list| list.as_array().unwrap());
    let named = all.map(|container| {
        let name = container["name"].as_str().unwrap();
        (name.to_owned(), container.clone())
    });
    named.collect()
}

fn added(container: &Value) -> Names {
    let added = strings(&container["securityContext"]["capabilities"]["add"]);
    added.into_iter().map(ToOwned::to_owned).collect()
}

/// The capabilities in the tables under a heading.
fn listed_capabilities(heading: &str) -> Names {
    let is_capability = |word: &String| word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let mut listed = listed(PAGE, heading);
    listed.retain(is_capability);
    listed
}

const PAGE: &str = "install/README.md";

#[test]
fn containers_and_capabilities_are_listed() {
    let rows = rows(PAGE, "What runs where");
    let (usual, all) = (containers("install/install.yaml"), containers(REINVOKE));
    for (name, container) in &all {
        let row = rows
            .iter()
            .find(|row| in_code(&row[0]).first() == Some(name));
        let row = row.unwrap_or_else(|| panic!("{PAGE} has no row for the container {name}"));
        let is_privileged = container["securityContext"]["privileged"] == true;
        let expected = if is_privileged { "yes" } else { "no" };
        assert!(row[2].trim_matches('*').starts_with(expected), "{row:?}");
        let is_conditional = row[0].ends_with(ONLY_WITH_PLUGINS);
        assert_eq!(usual.contains_key(name), !is_conditional, "{row:?}");
    }
    let mut capabilities = added(&all["daemon"]);
    assert_eq!(added(&usual["daemon"]), capabilities);
    // One that the chart gives on request only.
    capabilities.insert("NET_RAW".to_owned());
    assert_eq!(listed_capabilities("What runs where"), capabilities);
    assert_eq!(listed_capabilities("The runner"), added(&all["runner"]));
}
