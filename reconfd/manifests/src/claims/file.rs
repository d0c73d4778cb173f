//! The file of a claim: its name and its text.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crds::AddressClaim;
use nix::fcntl::OFlag;

use address::claims::claim_meta::ClaimName;

const ENDING: &str = ".yaml";
/// A larger file was not written by us.
const MAX_BYTES: u64 = 64 << 10;

/// The file of a claim.
pub fn file_of(name: &ClaimName) -> String {
    format!("{name}{ENDING}")
}

/// The claim name that a file name stands for.
pub fn name_of(file: &str) -> Option<ClaimName> {
    ClaimName::parse(file.strip_suffix(ENDING)?)
}

/// Reads a claim; its content must agree with the file name.
pub fn parse(path: &Path, file: &str) -> io::Result<AddressClaim> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits();
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let text = contents(open)?;
    let claim: AddressClaim = serde_saphyr::from_str(&text).map_err(io::Error::other)?;
    match file_of(&ClaimName::of(&claim)) == file {
        true => Ok(claim),
        false => Err(io::Error::other(
            "its content is of another address than its name",
        )),
    }
}

fn contents(file: File) -> io::Result<String> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The text of a claim's file.
pub fn yaml(claim: &AddressClaim) -> io::Result<String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, claim, options)
        .map_err(io::Error::other)?;
    Ok(text)
}
