//! Ports on which programs of the node listen, as `/proc/net` lists them. The daemon is in the node's network namespace.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::HostPort;

/// States of include/net/tcp_states.h: TCP_LISTEN, and TCP_CLOSE for a UDP socket that is bound and not connected.
const LISTEN: &str = "0A";
const UNCONNECTED: &str = "07";

pub fn listening() -> io::Result<Vec<HostPort>> {
    let tables = [
        ("tcp", LISTEN),
        ("tcp6", LISTEN),
        ("udp", UNCONNECTED),
        ("udp6", UNCONNECTED),
    ];
    let mut ports = Vec::new();
    for (name, state) in tables {
        if let Some(table) = read(name)? {
            let protocol = name.trim_end_matches('6');
            ports.extend(
                table
                    .lines()
                    .skip(1)
                    .filter_map(|l| socket(l, protocol, state)),
            );
        }
    }
    if let Some(table) = read("sctp/eps")? {
        ports.extend(table.lines().skip(1).filter_map(endpoint));
    }
    Ok(ports)
}

/// `None`: the kernel has no such protocol.
fn read(name: &str) -> io::Result<Option<String>> {
    match fs::read_to_string(format!("/proc/thread-self/net/{name}")) {
        Ok(table) => Ok(Some(table)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A line as `0: 0100007F:1F90 00000000:0000 0A …`.
fn socket(line: &str, protocol: &str, wanted: &str) -> Option<HostPort> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (address, port) = fields.next()?.split_once(':')?;
    if fields.nth(1)? != wanted {
        return None;
    }
    Some(HostPort {
        number: u16::from_str_radix(port, 16).ok()?,
        protocol: protocol.to_owned(),
        address: ip(address),
    })
}

/// An endpoint as `ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS`.
fn endpoint(line: &str) -> Option<HostPort> {
    let number = line.split_ascii_whitespace().nth(5)?.parse().ok()?;
    Some(HostPort {
        number,
        protocol: "sctp".to_owned(),
        address: None,
    })
}

/// An address is words of 32 bits in the byte order of the machine.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = text.get(at..at + 8)?;
        Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
    };
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
    let bytes: [u8; 16] = words.try_into().ok()?;
    Some(Ipv6Addr::from(bytes).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_read() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1";
        let port = socket(line, "tcp", LISTEN);
        let expected = HostPort {
            number: 8080,
            protocol: "tcp".to_owned(),
            address: "127.0.0.1".parse().ok(),
        };
        assert_eq!(port, Some(expected));
        assert_eq!(socket(&line.replace(" 0A ", " 01 "), "tcp", LISTEN), None);
        let any = socket(
            "1: 00000000000000000000000000000000:0016 0:0 0A",
            "tcp",
            LISTEN,
        );
        assert_eq!(any.and_then(|port| port.address), "::".parse().ok());
        assert_eq!(
            ip("0000000000000000FFFF00000100007F"),
            "127.0.0.1".parse().ok()
        );
    }
}
