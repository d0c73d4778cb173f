//! Modules import each other one way: no module needs, by way of others, one that needs it. A module and its own
//! submodules count as one room: they may use each other.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

/// The modules that each module imports, by path below the crate: `node::links::veth`.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let below = folders
        .into_iter()
        .filter(|folder| folder.file_name().unwrap() != "tests")
        .flat_map(|folder| sources(&folder));
    let own = files.into_iter().filter(|file| {
        let name = file.file_name().unwrap().to_str().unwrap();
        name.ends_with(".rs") && !matches!(name, "tests.rs" | "lib.rs" | "main.rs")
    });
    own.chain(below).collect()
}

fn module_of(root: &Path, file: &Path) -> String {
    let path = file.strip_prefix(root).unwrap().with_extension("");
    let words = path.iter().map(|word| word.to_str().unwrap());
    words.collect::<Vec<_>>().join("::")
}

/// The code of a file, without comments and without its tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths of a use tree: `a::{b, c::d}` has `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap().trim();
        return vec![
            path.trim_end_matches("::*")
                .trim_end_matches("::self")
                .to_owned(),
        ];
    };
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => (),
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(|part| paths(&format!("{}{}", before.trim(), part.trim())))
        .collect()
}

/// The path from the crate on, as seen from a module.
fn absolute(path: &str, module: &str) -> String {
    if let Some(path) = path.strip_prefix("crate::") {
        return path.to_owned();
    }
    let mut place: Vec<&str> = module.split("::").collect();
    let mut words = path.split("::").peekable();
    words.next_if_eq(&"self");
    while words.next_if_eq(&"super").is_some() {
        place.pop();
    }
    place.extend(words);
    place.join("::")
}

/// The module that has what the path names.
fn owner<'m>(path: &str, modules: &'m BTreeSet<String>) -> Option<&'m String> {
    let mut path = path;
    loop {
        if let Some(module) = modules.get(path) {
            return Some(module);
        }
        path = path.rsplit_once("::")?.0;
    }
}

fn is_one_room(one: &str, other: &str) -> bool {
    let is_in = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    is_in(one, other) || is_in(other, one)
}

fn imports(root: &Path) -> Imports {
    let files = sources(root);
    let modules: BTreeSet<String> = files.iter().map(|file| module_of(root, file)).collect();
    let statement = Regex::new(r"\buse\s+([^;]+);").unwrap();
    let of_file = |file: &PathBuf| {
        let (module, code) = (module_of(root, file), code(file));
        let paths = statement
            .captures_iter(&code)
            .flat_map(|found| paths(&found[1]));
        let named = paths.filter_map(|path| owner(&absolute(&path, &module), &modules).cloned());
        let others = named.filter(|other| !is_one_room(other, &module));
        (module.clone(), others.collect())
    };
    files.iter().map(of_file).collect()
}

/// A circle that leads through the last module of `way`, if there is one.
fn circle(
    imports: &Imports,
    way: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    let module = way.last()?.clone();
    for next in imports.get(&module).into_iter().flatten() {
        if let Some(at) = way.iter().position(|earlier| earlier == next) {
            let mut circle = way[at..].to_vec();
            circle.push(next.clone());
            return Some(circle);
        }
        if !done.contains(next) {
            way.push(next.clone());
            if let Some(circle) = circle(imports, way, done) {
                return Some(circle);
            }
            way.pop();
        }
    }
    done.insert(module);
    None
}

/// The source folders of all product crates: those at the top level, and those inside of them.
fn crates() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let outer = ["cni-plugin", "crds", "reconfd"].map(|name| top.join(name));
    let inner = outer
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let inner = inner.map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let folders = outer.into_iter().chain(inner);
    let crates = folders.filter(|folder| folder.join("Cargo.toml").exists());
    crates.map(|folder| folder.join("src")).collect()
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let mut edges = 0;
    for root in crates() {
        let imports = imports(&root);
        edges += imports.values().map(BTreeSet::len).sum::<usize>();
        let mut done = BTreeSet::new();
        for module in imports.keys() {
            let found = circle(&imports, &mut vec![module.clone()], &mut done);
            let found = found.map(|circle| circle.join("\n  imports "));
            assert!(found.is_none(), "{}: {}", root.display(), found.unwrap());
        }
    }
    assert!(edges > 500, "only {edges} imports were found");
}

#[test]
fn a_circle_is_found_and_a_module_may_use_its_own_submodules() {
    let of = |pairs: &[(&str, &str)]| -> Imports {
        let mut imports = Imports::new();
        for (module, other) in pairs {
            let others = imports.entry((*module).to_owned()).or_default();
            others.insert((*other).to_owned());
        }
        imports
    };
    let find = |imports: &Imports| circle(imports, &mut vec!["a".to_owned()], &mut BTreeSet::new());
    assert_eq!(find(&of(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    let found = find(&of(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap();
    assert_eq!(found, ["b", "c", "b"]);
    assert!(is_one_room("node::links", "node::links::veth"));
    assert!(!is_one_room("node::link", "node::links"));
    let named = paths("super::{\n    a::B,\n    c::{self, D as E},\n}");
    assert_eq!(named, ["super::a::B", "super::c", "super::c::D"]);
    assert_eq!(
        absolute("super::super::x::Y", "node::links::veth"),
        "node::x::Y"
    );
    assert_eq!(absolute("crate::x", "node"), "x");
}
