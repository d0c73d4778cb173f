//! IP prefixes, interface addresses and MAC addresses, parsed during deserialization, so that no other code handles
//! unparsed strings.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use ipnetwork::IpNetwork;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::shape;

/// A network in CIDR notation with no host bits: `10.99.0.0/16`, `fd00:1::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr(IpNetwork);

/// An address with the prefix length of its network: `10.99.0.10/24`, `fd99::10/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceAddress(IpNetwork);

/// A MAC address: six bytes in lower-case hexadecimal, separated by colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Cidr {
    /// The network of this address and prefix length.
    pub fn of(network: IpNetwork) -> Self {
        Self(IpNetwork::new(network.network(), network.prefix()).unwrap_or(network))
    }

    pub fn network(self) -> IpNetwork {
        self.0
    }
    /// Whether this network contains all of `other`.
    pub fn holds(self, other: IpNetwork) -> bool {
        self.0.is_ipv4() == other.is_ipv4()
            && self.0.prefix() <= other.prefix()
            && self.0.contains(other.network())
    }
}

impl InterfaceAddress {
    pub fn network(self) -> IpNetwork {
        self.0
    }
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }
}

impl FromStr for Cidr {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let network = parse_network(text)?;
        if network.network() != network.ip() {
            return Err(format!(
                "{text} has host bits; the network is {}/{}",
                network.network(),
                network.prefix()
            ));
        }
        Ok(Self(network))
    }
}

impl FromStr for InterfaceAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse_network(text).map(Self)
    }
}

fn parse_network(text: &str) -> Result<IpNetwork, String> {
    let wrong =
        || format!("{text:?} is not an address with a prefix length, such as 10.99.0.10/24");
    let (_, length) = text.split_once('/').ok_or_else(wrong)?;
    let padded = length.len() > 1 && length.starts_with('0');
    if padded || length.len() > 3 || !length.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let network: IpNetwork = text.parse().map_err(|_| wrong())?;
    match network {
        IpNetwork::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => Err(format!(
            "{text} is an IPv4-mapped IPv6 address; write it as IPv4"
        )),
        network => Ok(network),
    }
}

impl FromStr for Mac {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a MAC address, such as 0a:58:0a:63:00:0a");
        let mut bytes = [0; 6];
        let parts: Vec<&str> = text.split(':').collect();
        if parts.len() != 6 {
            return Err(wrong());
        }
        for (byte, part) in bytes.iter_mut().zip(parts) {
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if bytes[0] & 1 == 1 {
            return Err(format!("{text} is a multicast address"));
        }
        if bytes == [0; 6] {
            return Err(format!("{text} is the zero address"));
        }
        Ok(Self(bytes))
    }
}

macro_rules! text_form {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}
text_form!(Cidr);
text_form!(InterfaceAddress);
text_form!(Mac);

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Rules for interface addresses, each with its message. Zero padding is refused explicitly, because not every parser
/// refuses it: some read 010 as eight.
const ADDRESS_RULES: [(&str, &str); 5] = [
    (
        "isCIDR(self) && !self.matches('(^|[./])0[0-9]+([./]|$)')",
        "write the address with the prefix length of its network, such as 10.99.0.10/24 or fd99::10/64",
    ),
    (
        "!isCIDR(self) || cidr(self).ip().isGlobalUnicast()",
        "an interface has no loopback, link-local, multicast, broadcast or unspecified address",
    ),
    (
        "!isCIDR(self) || cidr(self).prefixLength() >= 8",
        "the prefix length is less than 8; write that of the network that the link is in",
    ),
    (
        "!isCIDR(self) || cidr(self).prefixLength() >= (self.contains(':') ? 127 : 31) || !(cidr(self) == cidr(self).masked())",
        "this is the network itself; write an address in it, such as 10.99.0.10/24",
    ),
    // CEL has no bit operations: the last address of a network is one less than a multiple of its size, listed for /8
    // to /30.
    (
        "!isCIDR(self) || self.contains(':') || cidr(self).prefixLength() < 8 || cidr(self).prefixLength() > 30 \
         || [self.split('/')[0].split('.').map(n, int(n))].all(n, (n[0] * 16777216 + n[1] * 65536 + n[2] * 256 + n[3] + 1) \
         % [16777216, 8388608, 4194304, 2097152, 1048576, 524288, 262144, 131072, 65536, 32768, 16384, 8192, 4096, 2048, \
         1024, 512, 256, 128, 64, 32, 16, 8, 4][cidr(self).prefixLength() - 8] != 0)",
        "this is the broadcast address of its network; write an address of one host, such as 10.99.0.10/24",
    ),
];

const CIDR_RULES: [(&str, &str); 1] = [(
    "isCIDR(self) && !self.matches('(^|[./])0[0-9]+([./]|$)') && cidr(self) == cidr(self).masked()",
    "write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32",
)];

const MAC_RULES: [(&str, &str); 2] = [
    (
        "self.matches('^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$')",
        "write six bytes in hexadecimal with colons between, such as 0a:58:0a:63:00:0a",
    ),
    (
        "self.matches('^.[02468ACEace]') && self != '00:00:00:00:00:00'",
        "this is no address of one device: the first byte is even, and not all bytes are zero",
    ),
];

macro_rules! text_schema {
    ($type:ty, $name:literal, $max:literal, $rules:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "maxLength": $max,
                    "x-kubernetes-validations": shape::rules(&$rules),
                })
            }
        }
    };
}
text_schema!(Cidr, "Cidr", 43, CIDR_RULES);
text_schema!(InterfaceAddress, "InterfaceAddress", 43, ADDRESS_RULES);
text_schema!(Mac, "Mac", 17, MAC_RULES);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parsed_is_written_again_alike() {
        for text in [
            "10.99.0.0/16",
            "0.0.0.0/0",
            "::/0",
            "fd00:1::/32",
            "192.168.1.1/32",
        ] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
        for text in ["10.99.0.10/24", "fd99::10/64", "10.0.0.1/31", "::1:2/128"] {
            assert_eq!(text.parse::<InterfaceAddress>().unwrap().to_string(), text);
        }
        assert_eq!(
            "0A:58:0a:63:00:0A".parse::<Mac>().unwrap().to_string(),
            "0a:58:0a:63:00:0a"
        );
    }

    #[test]
    fn an_address_keeps_its_host_bits() {
        let address: InterfaceAddress = "10.99.0.10/24".parse().unwrap();
        assert_eq!(address.ip().to_string(), "10.99.0.10");
        assert_eq!(address.network().network().to_string(), "10.99.0.0");
    }

    #[test]
    fn the_error_for_host_bits_names_the_network() {
        let error = "10.99.0.1/16".parse::<Cidr>().unwrap_err();
        assert_eq!(
            error,
            "10.99.0.1/16 has host bits; the network is 10.99.0.0/16"
        );
    }

    #[test]
    fn hostile_spellings_of_networks_are_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/ 8",
            "10.0.0.0/8 ",
            " 10.0.0.0/8",
            "10.0.0.0/8/8",
            "10.0.0.0/255.0.0.0",
            "010.0.0.0/8",
            "10.0.0/8",
            "0x0a.0.0.0/8",
            "10.0.0.0/8\n",
            "10.0.0.0/8\0",
            "１０.0.0.0/8",
            "10。0.0.0/8",
            "fd00::/129",
            "fd00::%eth0/64",
            "[fd00::]/64",
            "::ffff:10.0.0.0/104",
            "::ffff:0a00:0/112",
            "fd00:::/64",
            "g::/64",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text:?} passed");
            assert!(text.parse::<InterfaceAddress>().is_err(), "{text:?} passed");
        }
    }

    #[test]
    fn hostile_spellings_of_macs_are_refused() {
        for text in [
            "",
            "0a:58:0a:63:00",
            "0a:58:0a:63:00:0a:0b",
            "0a-58-0a-63-00-0a",
            "0a580a63000a",
            "a:58:a:63:0:a",
            "0a:58:0a:63:00:0g",
            "0a:58:0a:63:00:+a",
            "0a:58:0a:63:00:0a ",
            "00:00:00:00:00:00",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "０a:58:0a:63:00:0a",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text:?} passed");
        }
    }

    #[test]
    fn a_network_holds_what_lies_wholly_in_it() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        let wide = cidr("10.0.0.0/8");
        assert!(wide.holds(cidr("10.0.0.0/8").network()));
        assert!(wide.holds(cidr("10.99.0.0/16").network()));
        assert!(
            wide.holds(
                "10.99.0.10/24"
                    .parse::<InterfaceAddress>()
                    .unwrap()
                    .network()
            )
        );
        assert!(
            !wide.holds(cidr("0.0.0.0/0").network()),
            "wider than itself"
        );
        assert!(!wide.holds(cidr("11.0.0.0/8").network()));
        assert!(
            !cidr("0.0.0.0/0").holds(cidr("::/0").network()),
            "another family"
        );
    }
}
