//! Address of the receiver, and the headers of each request.

use std::{fmt, time::Duration};

use percent_encoding::percent_decode_str;
use tonic::{
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::{self, Channel, ClientTlsConfig},
};

/// Limit of the time for building a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

type Header = (MetadataKey<Ascii>, MetadataValue<Ascii>);

/// Address and headers of a receiver. Its `Debug` shows no secret.
#[derive(Clone)]
pub(in crate::telemetry) struct Endpoint {
    endpoint: transport::Endpoint,
    headers: Vec<Header>,
}

impl Endpoint {
    /// Reads an address, and headers as `key=value,key=value`, values percent-encoded.
    ///
    /// # Errors
    /// The problem, without the given text: it may hold a secret.
    pub(in crate::telemetry) fn new(url: &str, headers: Option<&str>) -> Result<Self, String> {
        let url = url.trim().trim_end_matches('/');
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        if !["http", "https"].contains(&scheme) || rest.is_empty() {
            return Err("the OTLP receiver's address is none: write http://host:4317, or https://"
                .to_owned());
        }
        if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return Err("the OTLP receiver's address holds a user: give a header instead (OTEL_EXPORTER_OTLP_HEADERS)"
                .to_owned());
        }
        let endpoint = transport::Endpoint::from_shared(url.to_owned());
        let mut endpoint =
            endpoint.map_err(|_| "the OTLP receiver's address is none: write http://host:4317")?;
        if scheme == "https" {
            let tls = endpoint.tls_config(ClientTlsConfig::new().with_native_roots());
            endpoint = tls.map_err(|error| format!("TLS to the OTLP receiver: {error}"))?;
        }
        let endpoint = endpoint.connect_timeout(CONNECT_LIMIT);
        let headers = headers.map(headers_of).transpose()?.unwrap_or_default();
        Ok(Self { endpoint, headers })
    }

    /// Returns a channel to the receiver. The connection is built with the first request.
    pub(super) fn channel(&self) -> Channel {
        self.endpoint.connect_lazy()
    }

    /// Adds the headers to the metadata of a request.
    pub(super) fn add_headers(&self, metadata: &mut MetadataMap) {
        for (key, value) in &self.headers {
            metadata.insert(key.clone(), value.clone());
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("url", self.endpoint.uri()).finish_non_exhaustive()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.endpoint.uri(), f)
    }
}

fn headers_of(text: &str) -> Result<Vec<Header>, String> {
    let wrong =
        || "OTEL_EXPORTER_OTLP_HEADERS holds no headers: write key=value,key=value".to_owned();
    pairs(text)
        .map(|pair| {
            let (key, value) = pair.ok_or_else(wrong)?;
            let key = MetadataKey::from_bytes(key.to_ascii_lowercase().as_bytes())
                .map_err(|_| wrong())?;
            let mut value: MetadataValue<Ascii> = value.parse().map_err(|_| wrong())?;
            // Logs then hide the value.
            value.set_sensitive(true);
            Ok((key, value))
        })
        .collect()
}

/// Reads `key=value,key=value` with percent-encoded values; `None` for an item that is no pair.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = Option<(String, String)>> + '_ {
    text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let key = key.trim();
        (!key.is_empty()).then(|| {
            (key.to_owned(), percent_decode_str(value.trim()).decode_utf8_lossy().into_owned())
        })
    })
}
