//! Files of the node that the daemon needs, and does not see itself. Their paths are the runner's own; a request names
//! no path.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use cni::names;
use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2},
    sys::stat::{Mode, SFlag, fstat},
    unistd::{UnlinkatFlags, fsync, geteuid, unlinkat},
};
use serde::Deserialize;

use crate::protocol::{FileRequest, FileResponse};

/// What others have attached.
mod cached;
/// Configurations of networks, which definitions only name.
mod configuration;
/// What the node's own configuration names.
mod own_networks;

/// Below Multus' cniDir.
const RESULTS: &str = "results";
/// A cached attachment has its configuration in base64, and its result.
const LARGEST: u64 = 2 << 20;

/// Where the files are.
#[derive(Clone, Debug)]
pub struct NodeFiles {
    /// Where the node's file system is.
    pub root: PathBuf,
    /// Multus' cniDir, as a path of the node.
    pub multus_cni_dir: PathBuf,
    /// Multus' confDir, the same.
    pub multus_conf_dir: PathBuf,
    /// The folder of the node's CNI configuration.
    pub conf_dir: PathBuf,
}

/// Whose file of libcni it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    kind: String,
    container_id: String,
    if_name: String,
    network_name: String,
}

type Answer = Result<FileResponse, String>;

impl NodeFiles {
    pub fn answer(&self, request: &FileRequest) -> FileResponse {
        let answer = match request {
            FileRequest::MultusAttachment {
                container_id,
                ifname,
            } => self.multus_attachment(container_id, ifname),
            FileRequest::RemoveMultusAttachment {
                network,
                container_id,
                ifname,
            } => self.remove_multus_attachment((network, container_id, ifname)),
            FileRequest::NodeNetworks => self.own_networks().map(FileResponse::NodeNetworks),
            FileRequest::CachedAttachments { network } => self.cached_attachments(network),
            FileRequest::NodeConfiguration { network } => self.node_configuration(network),
        };
        answer.unwrap_or_else(FileResponse::Refused)
    }

    fn multus_attachment(&self, container_id: &str, ifname: &str) -> Answer {
        check(container_id, ifname)?;
        let folder = self.multus_results()?;
        let suffix = format!("-{container_id}-{ifname}");
        let is_it = |name: &String| {
            let network = name.strip_suffix(&suffix);
            network.is_some_and(|network| names::network(network).is_ok())
        };
        let mut names = names_in(&folder).map_err(|error| self.cannot("list", &error))?;
        names.retain(is_it);
        match names.as_slice() {
            [] => Ok(FileResponse::Missing),
            [name] => Ok(match self.read(&folder, name)? {
                Some(text) => FileResponse::Found {
                    name: name.clone(),
                    text,
                },
                None => FileResponse::Missing,
            }),
            several => Err(format!(
                "Multus has several files of this interface: {}",
                several.join(", ")
            )),
        }
    }

    fn remove_multus_attachment(&self, of: (&str, &str, &str)) -> Answer {
        let (network, container_id, ifname) = of;
        check(container_id, ifname)?;
        names::network(network).map_err(|error| error.to_string())?;
        let folder = self.multus_results()?;
        let name = format!("{network}-{container_id}-{ifname}");
        let Some(text) = self.read(&folder, &name)? else {
            return Ok(FileResponse::Missing);
        };
        let cached: Cached = serde_json::from_str(&text)
            .map_err(|error| format!("{name} is torn or not JSON: {error}"))?;
        let written = (
            &*cached.network_name,
            &*cached.container_id,
            &*cached.if_name,
        );
        if cached.kind != "cniCacheV1" || written != of {
            return Err(format!("{name} describes another attachment"));
        }
        match unlinkat(&folder, name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(self.cannot("remove a file of", &errno.into())),
        }
        fsync(&folder).map_err(|errno| self.cannot("sync", &errno.into()))?;
        Ok(FileResponse::Missing)
    }

    fn multus_results(&self) -> Result<OwnedFd, String> {
        let opened = self.folder(&self.multus_cni_dir.join(RESULTS));
        opened.map_err(|error| self.cannot("open", &error))
    }

    fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
    }

    /// A path of the node. Links on the way lead to what they mean there.
    fn open(&self, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let folder = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open(&self.root, folder, Mode::empty())?;
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        Ok(openat2(&root, path, how)?)
    }

    /// A file of the node to read, whatever it is.
    fn open_file(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
    }

    fn cannot(&self, what: &str, error: &io::Error) -> String {
        let folder = self.multus_cni_dir.join(RESULTS);
        format!(
            "cannot {what} {} (--multus-cni-dir): {error}",
            folder.display()
        )
    }

    /// The text of a file that root alone may write; `None`: there is none.
    fn read(&self, folder: &OwnedFd, name: &str) -> Result<Option<String>, String> {
        match read_trusted(folder, name) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot read {name}: {error}")),
        }
    }
}

fn check(container_id: &str, ifname: &str) -> Result<(), String> {
    let checked = names::container_id(container_id);
    let checked = checked.and_then(|()| names::attached_interface(ifname));
    checked.map_err(|error| error.to_string())
}

fn names_in(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut dir = Dir::openat(folder.as_fd(), ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        // What is no text is no file of libcni's.
        names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
    }
    Ok(names)
}

fn read_trusted(folder: &OwnedFd, name: &str) -> io::Result<String> {
    let flags = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    read_plain(openat(folder, name, flags, Mode::empty())?, Writers::Root)
}

/// Who may have written a file that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writers {
    Root,
    Any,
}

fn read_plain(file: OwnedFd, writers: Writers) -> io::Result<String> {
    let stat = fstat(&file)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFREG {
        return Err(io::Error::other("it is not a plain file"));
    }
    let is_roots = stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o022 == 0;
    if writers == Writers::Root && !is_roots {
        return Err(io::Error::other("not root alone may write it"));
    }
    let mut text = String::new();
    File::from(file)
        .take(LARGEST + 1)
        .read_to_string(&mut text)?;
    match text.len() as u64 > LARGEST {
        true => Err(io::Error::other(format!(
            "it has more than {LARGEST} bytes"
        ))),
        false => Ok(text),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
