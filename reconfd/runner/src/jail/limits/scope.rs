//! Abstract unix sockets belong to the network namespace, which a jail shares with the node, so no mount covers them. A
//! configuration may name one (`daemonSocketPath: "@…"`). Landlock refuses a connection to what is outside (Linux 6.12).

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use nix::libc;

const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;

/// `struct landlock_ruleset_attr` of linux/landlock.h.
#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// Needs `no_new_privs` or SYS_ADMIN. An older kernel, or one without Landlock, changes nothing.
pub fn forbid_abstract_sockets() -> io::Result<()> {
    match ruleset() {
        Ok(ruleset) => restrict(&ruleset),
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// ENOSYS and EOPNOTSUPP: no Landlock. E2BIG and EINVAL: no scopes yet. EPERM: the runtime's seccomp profile.
fn is_missing(error: &io::Error) -> bool {
    let missing = [
        libc::ENOSYS,
        libc::EOPNOTSUPP,
        libc::E2BIG,
        libc::EINVAL,
        libc::EPERM,
    ];
    error
        .raw_os_error()
        .is_some_and(|errno| missing.contains(&errno))
}

#[allow(unsafe_code)]
fn ruleset() -> io::Result<OwnedFd> {
    let attr = RulesetAttr {
        handled_access_fs: 0,
        handled_access_net: 0,
        scoped: SCOPE_ABSTRACT_UNIX_SOCKET,
    };
    // SAFETY: attr lives until the call returns, which reads as many bytes of it as it is told.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const attr,
            size_of::<RulesetAttr>(),
            0,
        )
    };
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor for this process; nothing else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[allow(unsafe_code)]
fn restrict(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: two integers.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
