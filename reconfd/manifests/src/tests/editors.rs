//! How files come to be: editors, version control, configuration management, Kubernetes volumes.

use std::{fs::OpenOptions, io::Write, os::unix::fs::symlink};

use super::*;

fn stage() -> Stage {
    Stage::new(&[("a.yaml", &podconfig("t", "x", 1500))])
}

#[test]
fn a_file_written_in_place_counts_when_it_is_closed() {
    let stage = stage();
    let text = podconfig("t", "x", 1400);
    let mut file = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(stage.path("a.yaml"))
        .unwrap();
    file.write_all(&text.as_bytes()[..text.len() - 3]).unwrap();
    stage.silence();
    assert_eq!(stage.mtu("t", "x"), Some(1500));
    file.write_all(&text.as_bytes()[text.len() - 3..]).unwrap();
    drop(file);
    assert_eq!(stage.next(), changed("x"));
    assert_eq!(stage.mtu("t", "x"), Some(1400));
}

#[test]
fn a_new_file_written_slowly_is_not_read_before_its_end() {
    let stage = Stage::new(&[]);
    let mut file = fs::File::create(stage.path("a.yaml")).unwrap();
    stage.silence();
    assert_eq!(stage.refusals(), [""; 0]);
    file.write_all(podconfig("t", "x", 1400).as_bytes())
        .unwrap();
    drop(file);
    assert_eq!(stage.next(), changed("x"));
}

#[test]
fn an_editor_that_moves_the_old_file_aside_does_not_make_the_object_flap() {
    let stage = stage();
    fs::rename(stage.path("a.yaml"), stage.path("a.yaml~")).unwrap();
    stage.write("a.yaml", &podconfig("t", "x", 1400));
    fs::remove_file(stage.path("a.yaml~")).unwrap();
    assert_eq!(stage.next(), changed("x"));
    assert_eq!(stage.mtu("t", "x"), Some(1400));
    stage.silence();
}

#[test]
fn a_checkout_that_deletes_and_writes_anew_does_not_make_the_object_flap() {
    let stage = stage();
    for mtu in 1300..1310 {
        stage.remove("a.yaml");
        stage.write("a.yaml", &podconfig("t", "x", mtu));
        assert_eq!(stage.next(), changed("x"));
        assert_eq!(stage.mtu("t", "x"), Some(i32::try_from(mtu).unwrap()));
    }
    stage.silence();
}

#[test]
fn a_hard_link_is_a_whole_file_at_once() {
    let stage = Stage::new(&[]);
    stage.write("a.txt", &podconfig("t", "x", 1500));
    fs::hard_link(stage.path("a.txt"), stage.path("a.yaml")).unwrap();
    assert_eq!(stage.next(), changed("x"));
}

#[test]
fn a_kubernetes_volume_is_swapped_as_a_whole() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("manifests");
    fs::create_dir_all(folder.join("..1")).unwrap();
    fs::write(folder.join("..1/a.yaml"), podconfig("t", "x", 1500)).unwrap();
    symlink("..1", folder.join("..data")).unwrap();
    symlink("..data/a.yaml", folder.join("a.yaml")).unwrap();
    let stage = Stage::on(root);
    assert_eq!(stage.mtu("t", "x"), Some(1500));
    fs::create_dir(folder.join("..2")).unwrap();
    fs::write(folder.join("..2/a.yaml"), podconfig("t", "x", 1400)).unwrap();
    symlink("..2", folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    assert_eq!(stage.next(), changed("x"));
    assert_eq!(stage.mtu("t", "x"), Some(1400));
    fs::remove_dir_all(folder.join("..1")).unwrap();
    stage.silence();
}

#[test]
fn a_symlink_inside_the_folder_follows_what_it_leads_to() {
    let stage = Stage::new(&[]);
    symlink("real.txt", stage.path("a.yaml")).unwrap();
    stage.refused("a.yaml: is a dangling symlink");
    stage.put("real.txt", &podconfig("t", "x", 1500));
    assert_eq!(stage.next(), changed("x"));
    stage.put("real.txt", &podconfig("t", "x", 1400));
    assert_eq!(stage.next(), changed("x"));
    assert_eq!(stage.mtu("t", "x"), Some(1400));
}
