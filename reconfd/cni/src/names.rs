//! Names of networks, containers, interfaces and plugins: libcni's rules, and what must hold in addition because a
//! name becomes part of a file name, an environment variable or a rule.

/// Network, container and interface together are the name of a file: 150 + 76 + 15 and two hyphens are below 255,
/// and leave room for the suffix of a temporary file.
const LONGEST_NETWORK: usize = 150;
/// The longest identifier of containerd.
const LONGEST_CONTAINER_ID: usize = 76;
/// IFNAMSIZ without the NUL.
const LONGEST_INTERFACE: usize = 15;
const LONGEST_TYPE: usize = 64;
/// `eth0` is the interface of the pod's default network. `all` and `default` are folders of sysctls.
const RESERVED_INTERFACES: [&str; 4] = ["lo", "eth0", "all", "default"];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} {problem}")]
pub struct NameError {
    what: &'static str,
    name: String,
    problem: &'static str,
}

/// The name of a network: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
pub fn network(name: &str) -> Result<(), NameError> {
    word("network name", name, LONGEST_NETWORK)
}

/// The id of a container, or of a sandbox.
pub fn container_id(id: &str) -> Result<(), NameError> {
    word("container id", id, LONGEST_CONTAINER_ID)
}

/// The type of a plugin: a plain file name, never a path (CVE-2021-20206).
pub fn plugin_type(name: &str) -> Result<(), NameError> {
    word("plugin type", name, LONGEST_TYPE)
}

/// The name of an interface as a plugin may get it: printable ASCII, and no `%`, by which the kernel numbers names.
pub fn interface(name: &str) -> Result<(), NameError> {
    let problem = match name {
        "" => "is empty",
        "." | ".." => "is no file name",
        _ if name.len() > LONGEST_INTERFACE => "is longer than 15 bytes",
        _ if !name.bytes().all(|byte| byte.is_ascii_graphic()) => {
            "has a character that is no printable ASCII"
        }
        _ if name.contains(['/', ':', '%']) => "has one of the characters / : %",
        _ => return Ok(()),
    };
    Err(refused("interface", name, problem))
}

/// The name of an interface that may be attached: neither the pod's own nor a name that means something else.
pub fn attached_interface(name: &str) -> Result<(), NameError> {
    interface(name)?;
    match RESERVED_INTERFACES.contains(&name) {
        true => Err(refused("interface", name, "is reserved")),
        false => Ok(()),
    }
}

/// A key or a value of `CNI_ARGS`, which is `KEY=value;KEY=value`.
pub fn cni_arg(text: &str) -> Result<(), NameError> {
    match text.contains([';', '=']) || text.chars().any(char::is_control) {
        true => Err(refused(
            "word of CNI_ARGS",
            text,
            "has one of the characters ; = or a control character",
        )),
        false => Ok(()),
    }
}

fn word(what: &'static str, name: &str, longest: usize) -> Result<(), NameError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > longest {
        "is too long"
    } else if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        "does not begin with a letter or digit"
    } else if !name.bytes().all(allowed) {
        "has a character other than letters, digits, _ . -"
    } else {
        return Ok(());
    };
    Err(refused(what, name, problem))
}

fn refused(what: &'static str, name: &str, problem: &'static str) -> NameError {
    NameError {
        what,
        name: crate::json::shown(name),
        problem,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
