//! The runner executes Debian's plugins and hostile ones, each chain in a jail.

/// Plugins as they are.
mod chains;
/// Plugins that mean harm, or are broken.
mod hostile;
/// What a plugin sees of the node.
mod jail;
/// What a chain may take.
mod usage;
