//! The modes of installation: how the entry joins the chain.

/// The names of our copy; the second is for a primary file that sorts before the first.
pub const OWNED: [&str; 2] = ["00-podconfig.conflist", "0-podconfig.conflist"];

/// How the entry joins the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Inline,
    Owned,
    DropIn,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Inline, Mode::Owned, Mode::DropIn];

    pub fn word(self) -> &'static str {
        match self {
            Mode::Inline => "inline",
            Mode::Owned => "owned",
            Mode::DropIn => "drop-in",
        }
    }
}
