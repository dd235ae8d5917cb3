//! Address at which the body listens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Flags of the HTTP server: whether it is on, and at which address.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(crate) struct Flags {
    /// Answer over HTTP (/healthz, /readyz, /metrics): a port of this machine alone, or an address;
    /// port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "CBS_HTTP", hide_env_values = true, value_parser = address)]
    http: Option<OptionalAddress>,
}

/// An address, or `None` for an empty variable, which counts as not set.
type OptionalAddress = Option<SocketAddr>;

impl Flags {
    /// Returns the address; `None` if the server is off.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.http.flatten()
    }
}

/// Reads `9090`, `:9090`, `localhost:9090`, `0.0.0.0:9090` or `[::1]:9090`.
fn address(text: &str) -> Result<OptionalAddress, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    let here = port.parse().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    here.or_else(|_| text.parse()).map(Some).map_err(|_| {
        "write a port, such as 9090, or an address with one, such as 0.0.0.0:9090 or [::]:9090"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_this_machine() {
        for text in ["9090", ":9090", "localhost:9090", "127.0.0.1:9090"] {
            assert_eq!(address(text), Ok(Some(SocketAddr::from(([127, 0, 0, 1], 9090)))), "{text}");
        }
        assert_eq!(address("0.0.0.0:0"), Ok(Some(SocketAddr::from(([0, 0, 0, 0], 0)))));
        assert_eq!(address("[::1]:80").map(|it| it.map(|it| it.port())), Ok(Some(80)));
        assert_eq!(address(""), Ok(None));
        for text in ["here", "65536", "127.0.0.1", "example.org:80", ":", "-1"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
