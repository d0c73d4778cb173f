#![allow(clippy::unwrap_used)]

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use tempfile::TempDir;

use super::*;

/// An empty folder, which the plugin would have made for root alone.
fn folder() -> (TempDir, Pods) {
    let root = TempDir::new().unwrap();
    let folder = RecordFolder::new(root.path());
    let pods = Pods::new(folder, Scope::default(), Unsupported::default());
    (root, pods)
}

#[test]
fn a_file_that_is_no_record_is_held_against_the_others_only_while_it_is_there() {
    for name in [&b"notes.txt"[..], b"per\xff.json", b"bad.json"] {
        let (root, mut pods) = folder();
        let name = OsStr::from_bytes(name);
        fs::write(root.path().join(name), "hello").unwrap();
        let file = name.to_string_lossy();
        pods.read(&file);
        assert!(pods.has_invalid_records(), "{file}");
        fs::remove_file(root.path().join(name)).unwrap();
        pods.read(&file);
        assert!(!pods.has_invalid_records(), "{file}");
    }
}
