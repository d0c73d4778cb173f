//! Holds the documents to the code and to the chart: reasons, rights, admission policies, definitions,
//! containers, and the links between pages.
#![allow(clippy::unwrap_used, clippy::panic)]

/// The page of the installation.
#[path = "docs/installation.rs"]
mod installation;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crds::Reason;

type Names = BTreeSet<String>;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every page for users and contributors.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> = [
        "",
        "install/",
        "docs/",
        "docs/reference/",
        "docs/contributing/",
    ]
    .iter()
    .flat_map(|folder| {
        let files = fs::read_dir(top().join(folder)).unwrap();
        files.map(move |file| {
            format!(
                "{folder}{}",
                file.unwrap().file_name().into_string().unwrap()
            )
        })
    })
    .filter(|name| name.ends_with(".md"))
    .collect();
    pages.sort();
    pages
}

/// The text under a heading of whatever level, up to the next one.
fn section(page: &str, heading: &str) -> String {
    let text = read(page);
    let mut lines = text.lines().skip_while(|line| {
        !line.starts_with('#') || line.trim_start_matches('#').trim() != heading
    });
    assert!(lines.next().is_some(), "{page} has no heading {heading:?}");
    let own = lines.take_while(|line| !line.starts_with('#'));
    own.collect::<Vec<_>>().join("\n")
}

/// The cells of the rows of all tables under a heading, without their first two lines.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let text = section(page, heading);
    let rows: Vec<Vec<String>> = text
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
        .map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(rows.len() > 2, "{page}: no table under {heading:?}");
    rows.into_iter().skip(2).collect()
}

/// The first words in code style of the table's rows under a heading.
fn listed(page: &str, heading: &str) -> Names {
    let rows = rows(page, heading);
    let words = rows.iter().flat_map(|row| in_code(&row[0]));
    words.collect()
}

fn in_code(cell: &str) -> Vec<String> {
    let words = cell.split('`').skip(1).step_by(2);
    words.map(ToOwned::to_owned).collect()
}

#[test]
fn every_reason_is_explained() {
    let known = Reason::ALL.iter().map(|reason| reason.as_str().to_owned());
    assert_eq!(
        listed("docs/troubleshooting.md", "Reasons"),
        known.collect::<BTreeSet<_>>()
    );
}

#[test]
fn every_kind_and_definition_is_listed() {
    let definitions = crds::definition::all();
    let kinds = definitions.iter();
    let kinds: Names = kinds.map(|(_, of)| of.spec.names.kind.clone()).collect();
    assert_eq!(listed("docs/concepts.md", "Objects"), kinds);
    let names = definitions.into_iter();
    let names: Names = names.filter_map(|(_, of)| of.metadata.name).collect();
    assert_eq!(listed("install/README.md", "Definitions"), names);
}

#[test]
fn every_source_of_networks_is_listed() {
    let listed = listed("docs/addresses.md", "Reserved networks");
    for kind in address::sources::ALL {
        let source = kind.source.to_string();
        assert!(listed.contains(&source), "{source} is not in {listed:?}");
    }
}

#[test]
fn the_guides_name_the_image_of_this_version() {
    let image = format!("localhost/podconfig:{}", env!("CARGO_PKG_VERSION"));
    for page in ["README.md", "install/README.md"] {
        assert!(read(page).contains(&image), "{page} does not name {image}");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "README.md has {lines} lines");
}

/// What a command prints of a pod's namespace, and what it resolves there, is the tenant's.
#[test]
fn no_page_sends_an_administrator_into_a_pods_namespace() {
    for page in pages() {
        let text = read(&page);
        for command in ["ip -n ", "bridge -n ", "tc -n ", "ip netns exec "] {
            for rest in text.split(command).skip(1) {
                let rest: String = rest.chars().take(20).collect();
                assert!(rest.starts_with("podconfig"), "{page}: {command}{rest}");
            }
        }
    }
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut links = 0;
    for page in pages() {
        let folder = Path::new(&page).parent().unwrap().to_owned();
        for target in read(&page).split("](").skip(1) {
            let target = target.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file.is_empty() {
                true => page.clone(),
                false => folder.join(file).to_str().unwrap().to_owned(),
            };
            assert!(top().join(&file).exists(), "{page}: there is no {target}");
            if !anchor.is_empty() {
                assert!(anchors(&file).contains(anchor), "{page}: {target}");
            }
        }
    }
    assert!(links > 50, "only {links} links were seen");
}

/// The anchors that a page's headings have.
fn anchors(page: &str) -> Names {
    let text = read(page);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchors = headings.map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|c| c.is_alphanumeric() || "- _".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    });
    anchors.collect()
}

/// Words that the glossary replaces.
#[test]
fn the_pages_use_the_terms_of_the_glossary() {
    let private = [
        "told", "heard", "wish", "deed", "errand", "nobody", "somebody", "whoever",
    ];
    for page in pages() {
        // The changelog keeps its history.
        if page == "CHANGELOG.md" {
            continue;
        }
        let text = read(&page).to_lowercase();
        let mut words = text.split(|c: char| !c.is_alphabetic());
        let found = words.find(|word| private.iter().any(|bad| word.contains(bad)));
        assert_eq!(found, None, "{page}");
    }
}

/// Every file below a folder of the repository, with `/` before its path.
fn files(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && ![".git", "target"].contains(&&*name) {
            files(&path, into);
        }
        let below = path.strip_prefix(top()).unwrap().to_str().unwrap();
        into.push(format!("/{below}"));
    }
}

/// `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`.
fn expanded(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let (choices, after) = rest.split_once('}').unwrap();
    let each = choices.split(',');
    each.map(|choice| format!("{before}{choice}{after}"))
        .collect()
}

#[test]
fn architecture_and_contributing_name_files_that_exist() {
    let (mut present, mut seen) = (Vec::new(), 0);
    files(&top(), &mut present);
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        for path in in_code(&read(page)).iter().flat_map(|word| expanded(word)) {
            if !path.ends_with(".rs") || path.contains(['*', '<', ' ']) || path == "mod.rs" {
                continue;
            }
            let ending = format!("/{path}");
            let exists = present.iter().any(|file| file.ends_with(&ending));
            // `x.rs` stands for the form of a name.
            assert!(exists || path == "x.rs", "{page}: there is no {path}");
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} files were seen");
}
