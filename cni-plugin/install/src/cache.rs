//! References to the plugin in the runtime's cached results. CRI-O tears a pod down with the chain in its
//! cache, so the binary must outlive every result that names it. Read-only.

use std::fs;
use std::io;
use std::path::Path;

use cni_plugin::PLUGIN_TYPE;
use sandbox_record::json::Members;

use crate::folder::MAX_BYTES;

/// Why the binary must stay, if it must.
pub fn reason_to_keep(folder: &Path) -> Option<String> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(format!("{} cannot be read ({error})", folder.display())),
        Ok(entries) => entries,
    };
    let mut named = 0;
    let mut example = String::new();
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => return Some(format!("{} cannot be read ({error})", folder.display())),
        };
        if may_reference_plugin(&path) {
            named += 1;
            example = path.display().to_string();
        }
    }
    (named > 0).then(|| format!("{named} cached results may name it, such as {example}"))
}

/// An unreadable or oversized file may reference the plugin.
fn may_reference_plugin(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => return false,
        Ok(found) if found.len() > MAX_BYTES => return true,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
        Ok(_) => {}
    }
    match fs::read(path) {
        Ok(content) => references_plugin(&content),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// The chain is the base64 value of the key `config`; the plain text is searched as well.
fn references_plugin(content: &[u8]) -> bool {
    let config = Members::parse(content).ok().and_then(|members| {
        let config = members.string("config").ok()??;
        Some(decoded(config.as_bytes()))
    });
    contains(content) || config.is_some_and(|config| contains(&config))
}

fn contains(text: &[u8]) -> bool {
    text.windows(PLUGIN_TYPE.len())
        .any(|part| part == PLUGIN_TYPE.as_bytes())
}

/// Lenient base64: characters outside of the alphabet are skipped.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for letter in text {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        held = (held << 6 | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_padding_without_and_broken_by_lines() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm8", "fo"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9v\nYmFy", "foobar"),
        ] {
            assert_eq!(decoded(text.as_bytes()), bytes.as_bytes(), "{text}");
        }
        assert_eq!(decoded(b"++//"), [0xfb, 0xef, 0xff]);
    }

    #[test]
    fn a_result_is_searched_in_its_decoded_chain() {
        // {"plugins":[{"type":"podconfig-cni"}]} and {"plugins":[{"type":"bridge"}]}
        let ours = br#"{"kind":"cniCacheV1","config":"eyJwbHVnaW5zIjpbeyJ0eXBlIjoicG9kY29uZmlnLWNuaSJ9XX0="}"#;
        let theirs =
            br#"{"kind":"cniCacheV1","config":"eyJwbHVnaW5zIjpbeyJ0eXBlIjoiYnJpZGdlIn1dfQ=="}"#;
        assert!(references_plugin(ours));
        assert!(!references_plugin(theirs));
        assert!(!references_plugin(b"\0\xff not json"));
        assert!(references_plugin(br#"{"config": "podconfig-cni"#));
    }
}
