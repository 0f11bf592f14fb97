//! Sets of peers: networks, and whoever comes through our Unix sockets.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;

/// Peers that may do something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerSet {
    /// Networks; v4 in v6 (`::ffff:0:0/96`) is kept as v4.
    pub networks: Vec<IpNet>,
    /// Peers on our Unix sockets.
    pub unix: bool,
}

impl PeerSet {
    /// Whether nobody is meant.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether a peer is meant; `None` is a peer on a Unix socket.
    pub fn contains(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            None => self.unix,
            Some(address) => {
                let address = address.to_canonical();
                self.networks.iter().any(|network| network.contains(&address))
            }
        }
    }
}

impl FromIterator<Peer> for PeerSet {
    fn from_iter<I: IntoIterator<Item = Peer>>(peers: I) -> Self {
        let mut set = Self::default();
        for peer in peers {
            match peer {
                Peer::Network(network) => set.networks.push(network),
                Peer::Unix => set.unix = true,
            }
        }
        set
    }
}

/// One item of a [`PeerSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A network.
    Network(IpNet),
    /// Our Unix sockets.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// Reads an address, a network or `unix`.
pub fn parse_peer(text: &str) -> Result<Peer, Wrong> {
    if text == "unix" {
        return Ok(Peer::Unix);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Peer::Network(IpNet::from(address.to_canonical())));
    }
    let Ok(network) = text.parse::<IpNet>() else {
        let help = "write \"10.0.0.0/8\", \"2001:db8::/32\", \"127.0.0.1\" or \"unix\"";
        return Err(Wrong::new(format!("\"{}\" is no network", short(text)), help));
    };
    if network != network.trunc() {
        let help = format!("write \"{}\", or the address alone", network.trunc());
        return Err(Wrong::new("the address has bits outside its network", help));
    }
    if let IpNet::V6(v6) = network
        && v6.prefix_len() >= 96
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Ok(v4) = ipnet::Ipv4Net::new(v4, v6.prefix_len() - 96)
    {
        return Ok(Peer::Network(IpNet::V4(v4)));
    }
    Ok(Peer::Network(network))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_its_networks_in_either_form() {
        let set: PeerSet = ["10.0.0.0/8", "::ffff:192.0.2.0/120", "::1"]
            .into_iter()
            .map(|text| parse_peer(text).expect(text))
            .collect();
        let contains = |text: &str| set.contains(Some(text.parse().expect("an address")));
        assert!(
            contains("10.1.2.3")
                && contains("::ffff:10.1.2.3")
                && contains("192.0.2.7")
                && contains("::1")
        );
        assert!(!contains("11.0.0.1") && !contains("192.0.3.1") && !contains("::2"));
        assert!(!set.contains(None));
        assert!(PeerSet::from_iter([Peer::Unix]).contains(None));
        for text in ["10.0.0.1/8", "10.0.0.0/33", "localhost", "", "10.0.0"] {
            assert!(parse_peer(text).is_err(), "{text}");
        }
    }
}
