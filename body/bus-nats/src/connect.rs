//! Making of connections from options, and errors that say what to do.

use std::{
    error::Error,
    fmt::Display,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc;

use crate::{
    ConnectError, ConnectErrorKind, Options,
    open_files::{self, Reserve},
};

/// Limit of the events of a connection that wait to be handled.
const EVENTS: usize = 256;
/// Limit of the messages that wait in the client for the task that reads a subscription. The client
/// drops any more without an error. Its default is 65,536, which a burst of 100,000 requests fills
/// before the task can refuse them. Only messages that wait take memory.
const SUBSCRIPTION_CAPACITY: usize = 1 << 20;
/// First wait between two attempts to build a connection again. The first attempt has no wait.
pub(crate) const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(20);
/// Longest wait between two attempts to build a connection again.
pub(crate) const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);

/// Purpose of a connection. A few settings depend on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Serves cells, and calls the cells of other bodies: the server does not echo its messages.
    Serve,
    /// Makes calls.
    Call,
}

/// Connects once to one of the servers.
pub(crate) async fn connect(
    options: &Options,
    purpose: Purpose,
) -> Result<(Client, mpsc::Receiver<Event>), ConnectError> {
    let addresses = addresses(&options.url)?;
    check_inbox(options)?;
    let (sender, events) = mpsc::channel(EVENTS);
    let attempts = Arc::new(Attempts::default());
    let connected = attempts.clone();
    let settings = authenticate(ConnectOptions::new(), options, &addresses).await?;
    let settings = encrypt(settings, options)?
        .name(format!("cbs {} {}", options.namespace, options.body))
        .ping_interval(options.ping_interval)
        .connection_timeout(options.connect_timeout)
        .custom_inbox_prefix(inbox_prefix(options))
        .max_reconnects(None)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .reconnect_delay_callback(move |number| attempts.delay(number))
        // Subjects are made of checked names.
        .skip_subject_validation(true)
        .event_callback(move |event| {
            if matches!(event, Event::Connected) {
                connected.succeeded();
            }
            let sender = sender.clone();
            // The receiver is gone while a connection is being closed.
            async move { drop(sender.send(event).await) }
        });
    let settings = if purpose == Purpose::Serve { settings.no_echo() } else { settings };
    // Boxed: async-nats' future has some 30 KB.
    let client = Box::pin(settings.connect(addresses))
        .await
        .map_err(|error| explain(&options.url, &error))?;
    Ok((client, events))
}

/// Attempts to build one connection. If the process may open no more files, every second attempt
/// follows the failed one at once, with the reserve of descriptors open. So the reserve is open
/// only briefly, and cells that open files all the time do not take what a connection needs.
#[derive(Default)]
struct Attempts(Mutex<Option<Reserve>>);

impl Attempts {
    /// Returns the wait before the attempt of this number. The first number is 1.
    fn delay(&self, number: usize) -> Duration {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The attempt before has ended: its reserve is closed before others take it.
        if held.take().is_none() {
            *held = open_files::reserve();
            if held.is_some() {
                return Duration::ZERO;
            }
        }
        let Some(waits) = number.checked_sub(2) else { return Duration::ZERO };
        RECONNECT_DELAY_MIN.saturating_mul(1 << waits.min(10)).min(RECONNECT_DELAY_MAX)
    }

    fn succeeded(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Returns `_INBOX.<body>`, or the same with the prefix of the options. Permissions can keep the
/// replies of one body from others.
pub(crate) fn inbox_prefix(options: &Options) -> String {
    format!("{}.{}", options.inbox_prefix.as_deref().unwrap_or("_INBOX"), options.body)
}

/// Checks the inbox prefix of the options. Subjects made from it are not checked later.
fn check_inbox(options: &Options) -> Result<(), ConnectError> {
    let Some(prefix) = &options.inbox_prefix else { return Ok(()) };
    let is_token = |token: &str| {
        !token.is_empty()
            && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    if prefix.split('.').all(is_token) {
        return Ok(());
    }
    let message = format!("`{}` is no prefix of an inbox", prefix.escape_debug());
    Err(ConnectError {
        kind: ConnectErrorKind::Address,
        message,
        hint: "write for example _INBOX_ada".to_owned(),
    })
}

/// Schemes of addresses that are supported.
const SCHEMES: [&str; 2] = ["nats", "tls"];

/// Reads addresses that are joined by commas. Spaces around them and an empty one at the end are
/// ignored.
fn addresses(url: &str) -> Result<Vec<ServerAddr>, ConnectError> {
    let parts: Vec<&str> = parts(url).collect();
    if parts.is_empty() {
        return Err(no_address(url, "it is empty", HINT_ADDRESS));
    }
    parts.into_iter().map(address).collect()
}

const HINT_ADDRESS: &str = "write nats://host:port";

fn address(part: &str) -> Result<ServerAddr, ConnectError> {
    check_scheme(part)?;
    let wrong = |reason: &dyn Display| no_address(part, &reason.to_string(), HINT_ADDRESS);
    let address = part.parse::<ServerAddr>().map_err(|error| wrong(&error))?;
    if address.host().is_empty() {
        return Err(wrong(&"it names no host"));
    }
    // `nats:/host` and `nats//host` would be the host `nats`.
    let path = part
        .split_once("://")
        .map_or(part, |(_, rest)| rest)
        .split(['?', '#'])
        .next()
        .unwrap_or_default();
    if path.split_once('/').is_some_and(|(_, path)| !path.is_empty()) {
        return Err(wrong(&"it has a path"));
    }
    Ok(address)
}

/// Refuses other schemes. They belong to other programs: a connection would wait for a greeting
/// that never comes.
fn check_scheme(part: &str) -> Result<(), ConnectError> {
    let Some((scheme, _)) = part.split_once("://") else { return Ok(()) };
    let lower = scheme.to_ascii_lowercase();
    if SCHEMES.contains(&lower.as_str()) {
        return Ok(());
    }
    let shown: String = scheme.chars().take(20).collect();
    let (reason, hint) = match lower.as_str() {
        "ws" | "wss" => (
            format!("{lower}:// is not spoken here"),
            "write nats:// or tls://, with the port where the server takes its clients",
        ),
        "http" | "https" => (
            format!("{lower}:// is for web servers"),
            "write nats:// or tls://, with the server's port for clients",
        ),
        _ => (format!("{shown}:// is not spoken here"), "write nats:// or tls://"),
    };
    Err(no_address(part, &reason, hint))
}

fn no_address(part: &str, reason: &str, hint: &str) -> ConnectError {
    let message = format!("`{}` is no NATS address ({reason})", redact(part).escape_debug());
    ConnectError { kind: ConnectErrorKind::Address, message, hint: hint.to_owned() }
}

fn parts(url: &str) -> impl Iterator<Item = &str> {
    url.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Decodes the percent-encoded text of an address. Special characters in an address must be
/// encoded.
fn decode_percent(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

async fn authenticate(
    settings: ConnectOptions,
    options: &Options,
    addresses: &[ServerAddr],
) -> Result<ConnectOptions, ConnectError> {
    let given = &options.credentials;
    let settings = match (&given.user, &given.password) {
        (Some(user), password) => {
            settings.user_and_password(user.clone(), password.clone().unwrap_or_default())
        }
        (None, Some(_)) => return Err(files("a password was given without a user", "give both")),
        // A user without a password in the address is a token.
        (None, None) => match addresses
            .iter()
            .find_map(|address| Some((address.username()?, address.password())))
        {
            Some((user, Some(password))) => {
                settings.user_and_password(decode_percent(user), decode_percent(password))
            }
            Some((token, None)) => settings.token(decode_percent(token)),
            None => settings,
        },
    };
    let settings = match &given.token {
        Some(token) => settings.token(token.clone()),
        None => settings,
    };
    let settings = match given.nkey.as_deref().map(str::trim) {
        Some(seed) if seed.starts_with('S') && !Path::new(seed).exists() => {
            settings.nkey(seed.to_owned())
        }
        // A seed with a typing error must not be shown. It has no character that marks a path.
        Some(slip) if !slip.contains(['/', '.']) && !Path::new(slip).exists() => {
            return Err(files(
                "the nkey is neither a seed nor a file that is there",
                "give a seed (`SU…`) or a path",
            ));
        }
        Some(path) => settings.nkey(read(Path::new(path), "nkey seed")?.trim().to_owned()),
        None => settings,
    };
    match &given.creds {
        Some(path) => {
            let text = read(path, "credentials file")?;
            settings.credentials(&text).map_err(|error| {
                files(
                    &format!("{} holds no credentials ({error})", path.display()),
                    "give a .creds file of JWT and seed",
                )
            })
        }
        None => Ok(settings),
    }
}

fn encrypt(
    mut settings: ConnectOptions,
    options: &Options,
) -> Result<ConnectOptions, ConnectError> {
    let tls = &options.tls;
    for path in [&tls.ca, &tls.cert, &tls.key].into_iter().flatten() {
        if !read(path, "TLS file")?.contains("-----BEGIN ") {
            return Err(files(
                &format!("the TLS file {} holds no PEM", path.display()),
                "give a file in PEM format",
            ));
        }
    }
    if let Some(ca) = &tls.ca {
        settings = settings.add_root_certificates(ca.clone());
    }
    settings = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => settings.add_client_certificate(cert.clone(), key.clone()),
        (None, None) => settings,
        _ => {
            return Err(files(
                "a client certificate needs its key, and a key its certificate",
                "give both",
            ));
        }
    };
    if tls.first {
        settings = settings.tls_first();
    }
    Ok(settings.require_tls(tls.required))
}

fn read(path: &Path, what: &str) -> Result<String, ConnectError> {
    std::fs::read_to_string(path).map_err(|error| {
        files(&format!("the {what} {} cannot be read ({error})", path.display()), "check the path")
    })
}

fn files(message: &str, hint: &str) -> ConnectError {
    ConnectError {
        kind: ConnectErrorKind::Files,
        message: message.to_owned(),
        hint: hint.to_owned(),
    }
}

fn explain(url: &str, error: &async_nats::ConnectError) -> ConnectError {
    use async_nats::ConnectErrorKind as Kind;
    let url = shown(url);
    let text = Arc::new(error.to_string());
    let (kind, message, hint) = match error.kind() {
        Kind::Authentication | Kind::AuthorizationViolation => (
            ConnectErrorKind::Refused,
            format!("the NATS server at {url} refuses the credentials"),
            "check user, password, token or creds file",
        ),
        _ if error.kind() == Kind::Tls || is_of_tls(error) => (
            ConnectErrorKind::Protocol,
            format!("TLS with {url} failed ({text})"),
            "check the CA and the certificate",
        ),
        Kind::ServerParse => (
            ConnectErrorKind::Address,
            format!("`{url}` is no NATS address"),
            "write nats://host:port",
        ),
        _ if text.to_lowercase().contains("authorization") => (
            ConnectErrorKind::Refused,
            format!("the NATS server at {url} refuses the credentials"),
            "check user, password, token or creds file",
        ),
        _ => (
            ConnectErrorKind::Unreachable,
            format!("no NATS server answers at {url} ({text})"),
            "start one, or give its address with --nats or NATS_URL",
        ),
    };
    ConnectError { kind, message, hint: hint.to_owned() }
}

/// True if TLS is the cause of an error that is reported as an I/O error.
fn is_of_tls(error: &async_nats::ConnectError) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    io.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Returns addresses in the form for messages: scheme, host and port only, ready to be used again.
pub(crate) fn shown(url: &str) -> String {
    let one = |part: &str| {
        let Ok(address) = address(part) else { return redact(part) };
        let scheme = if address.tls_required() { "tls" } else { "nats" };
        let host = address.host();
        let port = address.port();
        if host.contains(':') {
            format!("{scheme}://[{host}]:{port}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    };
    parts(url).map(one).collect::<Vec<_>>().join(",")
}

/// Returns an address without the part before its `@`.
fn redact(url: &str) -> String {
    let one = |part: &str| match (part.split_once("://"), part.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (found, None) => without_word(found.map_or(0, |(scheme, _)| scheme.len() + 3), part),
    };
    url.split(',').map(one).collect::<Vec<_>>().join(",")
}

/// Returns a host without the text after its colon that is not a port number. That text may be a
/// password whose `@` is missing, or a password with a comma.
fn without_word(host_at: usize, part: &str) -> String {
    let host = part.get(host_at..).unwrap_or_default();
    match host.split_once(':') {
        Some((name, port))
            if !host.starts_with('[')
                && !port.trim_end_matches('/').bytes().all(|b| b.is_ascii_digit()) =>
        {
            format!("{}{name}:…", part.get(..host_at).unwrap_or_default())
        }
        _ => part.to_owned(),
    }
}
