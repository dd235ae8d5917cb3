//! Names that a program makes for itself: a body's id, a client's id, the demo's namespace.

use cbs::{BodyId, Namespace};
use uuid::Uuid;

/// Limit of the bytes of the machine's name in a body's id, so that the whole id stays below 63
/// bytes.
const HOST_BYTES_MAX: usize = 48;

/// Makes the id of a body: `<host>-<6 random>`.
pub(crate) fn body() -> BodyId {
    let host = nix::unistd::gethostname().unwrap_or_default();
    named(&host_part(&host.to_string_lossy()))
}

/// Makes the id `client-<6 random>`, for a program that calls and serves nothing.
pub(crate) fn client() -> BodyId {
    named("client")
}

/// Makes the namespace `demo-<6 random>`.
pub(crate) fn demo_namespace() -> Namespace {
    Namespace::new(&format!("demo-{}", random())).unwrap_or_default()
}

fn named(prefix: &str) -> BodyId {
    let id = format!("{prefix}-{}", random());
    // `host_part` leaves only what an id may have; the second branch is never taken.
    BodyId::new(&id).unwrap_or_else(|_| named("body"))
}

/// Returns six random hexadecimal digits.
fn random() -> String {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    format!("{:06x}", high >> 40)
}

/// Returns the first label of a host's name, with only the characters that an id may have.
fn host_part(host: &str) -> String {
    let label = host.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let part: String =
        label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let part = part
        .trim_matches('-')
        .get(..HOST_BYTES_MAX.min(part.trim_matches('-').len()))
        .unwrap_or_default();
    if part.is_empty() { "body".to_owned() } else { part.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_any_name_gives_an_id() {
        assert_eq!(host_part("Web1.example.org"), "web1");
        assert_eq!(host_part("-Ada's MacBook-"), "ada-s-macbook");
        assert_eq!(host_part(""), "body");
        assert_eq!(host_part("é"), "body");
        for host in ["Web1.example.org", "", &"x".repeat(300)] {
            assert!(BodyId::new(&format!("{}-{}", host_part(host), random())).is_ok());
        }
    }

    #[test]
    fn two_of_a_kind_have_different_names() {
        assert_ne!(body(), body());
        assert!(demo_namespace().as_str().starts_with("demo-"));
    }
}
