//! `/dev` of a jail: the devices that any program expects, and the one for tap interfaces.

use std::{
    fs,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
};

use nix::mount::{MsFlags, mount};

use super::{attempt, bind, magic};

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "net/tun"];

/// Mounts the devices of `before` over `dev`. Nothing is made: that would need a right of its own.
pub fn build(dev: &Path, before: &OwnedFd) -> Result<(), String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let options = Some("mode=0755,size=64k");
    let mounted = mount(Some("tmpfs"), dev, Some("tmpfs"), flags, options);
    attempt("mount", dev, mounted.map_err(Into::into))?;
    for name in DEVICES {
        let (source, target) = (magic(before.as_raw_fd()).join(name), dev.join(name));
        if !source.exists() {
            continue;
        }
        let parent = target.parent().unwrap_or(dev);
        let made = fs::create_dir_all(parent).and_then(|()| fs::File::create(&target).map(drop));
        attempt("make", &target, made)?;
        attempt("mount", &target, bind(&source, &target))?;
    }
    Ok(())
}
