//! Attributes of nf_tables: a tree, numbers in network byte order. Pure.

const NLA_F_NESTED: u16 = 1 << 15;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    Leaf(u16, Vec<u8>),
    Nest(u16, Vec<Attribute>),
}

impl Attribute {
    pub fn number(kind: u16, value: u32) -> Self {
        Self::Leaf(kind, value.to_be_bytes().into())
    }

    pub fn text(kind: u16, value: &str) -> Self {
        Self::Leaf(kind, [value.as_bytes(), b"\0"].concat())
    }

    pub fn append(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; 4]);
        let kind = match self {
            Self::Leaf(kind, value) => {
                out.extend(value);
                *kind
            }
            Self::Nest(kind, inner) => {
                inner.iter().for_each(|attribute| attribute.append(out));
                kind | NLA_F_NESTED
            }
        };
        let length = (out.len() - start) as u16;
        out[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        out[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
        out.resize(out.len().next_multiple_of(4), 0);
    }

    /// Whether the kernel's dump contains this attribute. It may contain more, in another order: both differ
    /// between kernels.
    pub fn is_in(&self, dumped: &[u8]) -> bool {
        let matches = |found: &[u8]| match self {
            Self::Leaf(_, value) => found == value,
            Self::Nest(_, inner) => inner.iter().all(|attribute| attribute.is_in(found)),
        };
        find(dumped, self.kind()).is_some_and(matches)
    }

    fn kind(&self) -> u16 {
        match self {
            Self::Leaf(kind, _) | Self::Nest(kind, _) => *kind,
        }
    }
}

/// The value of the first attribute of a kind.
pub fn find(dumped: &[u8], kind: u16) -> Option<&[u8]> {
    each(dumped).find_map(|(found, value)| (found == kind).then_some(value))
}

pub fn find_number(dumped: &[u8], kind: u16) -> Option<u32> {
    let value = find(dumped, kind)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*value))
}

pub fn find_text(dumped: &[u8], kind: u16) -> Option<String> {
    let value = find(dumped, kind)?;
    let text = String::from_utf8_lossy(value);
    Some(text.trim_end_matches('\0').to_owned())
}

pub fn each(mut dumped: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [low, high, kind @ ..] = *dumped.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let value = dumped.get(4..length)?;
        dumped = &dumped[length.next_multiple_of(4).min(dumped.len())..];
        Some((u16::from_ne_bytes(kind) & !NLA_F_NESTED, value))
    })
}
