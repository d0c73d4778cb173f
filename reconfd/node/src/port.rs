//! What a bridge does with the frames of a port.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Port {
    pub learning: bool,
    pub flood: bool,
    /// Accepts only source addresses that the forwarding table has for this port.
    pub locked: bool,
}
