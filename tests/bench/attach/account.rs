//! CPU time of a group of processes with all that they have started, also of those that ended, by a control group.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

const MOUNT: &str = "/run/account";

/// A control group, removed at the end.
pub struct Account {
    folder: PathBuf,
    /// The second version of control groups counts microseconds, the first one nanoseconds.
    is_unified: bool,
}

impl Account {
    pub fn new(name: &str) -> Result<Self> {
        let is_unified = mounted().context("control groups cannot be mounted")?;
        let folder =
            Path::new(MOUNT).join(format!("podconfig-bench-{name}-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Self { folder, is_unified })
    }

    /// Takes the process of a command from its start, before it has started others.
    #[allow(unsafe_code)]
    pub fn take(&self, command: &mut Command) -> Result<()> {
        let processes = File::options()
            .write(true)
            .open(self.folder.join("cgroup.procs"))?;
        // SAFETY: write is a plain system call: it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || (&processes).write_all(b"0"));
        }
        Ok(())
    }

    /// Microseconds so far.
    pub fn cpu(&self) -> Result<f64> {
        if self.is_unified {
            let text = fs::read_to_string(self.folder.join("cpu.stat"))?;
            let usage = text
                .lines()
                .find_map(|line| line.strip_prefix("usage_usec "));
            return Ok(usage.context("cpu.stat has usage_usec")?.parse()?);
        }
        let text = fs::read_to_string(self.folder.join("cpuacct.usage"))?;
        Ok(text.trim().parse::<f64>()? / 1e3)
    }
}

/// Mounts the hierarchy that counts CPU time; whether it is the unified one.
fn mounted() -> Result<bool> {
    let is_there = |file: &str| Path::new(MOUNT).join(file).exists();
    fs::create_dir_all(MOUNT)?;
    if !is_there("cgroup.procs") {
        let with = |kind, options: Option<&str>| {
            mount(Some("cgroup"), MOUNT, Some(kind), MsFlags::empty(), options)
        };
        with("cgroup", Some("cpuacct")).or_else(|_| with("cgroup2", None))?;
    }
    Ok(!is_there("cpuacct.usage"))
}

impl Drop for Account {
    fn drop(&mut self) {
        // Empty once its processes have ended, which the kernel may see a moment later.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
