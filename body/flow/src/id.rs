//! Ids that are derived and not drawn: a replay of a run finds the same ones.

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// Id of the run that a request starts. The first attempt of a request (0, as in an envelope) gives
/// its own id to the run. Nothing is remembered of an attempt that failed, so that a further
/// attempt is another run; its id is derived from the request's and the attempt.
#[must_use]
pub fn run_id(request: Uuid, attempt: u32) -> Uuid {
    if attempt == 0 { request } else { derived(request, &format!("#{attempt}")) }
}

/// Returns the UUIDv8 of a name within a namespace: the first 128 bits of the SHA-256 of both, with
/// the bits of version and variant set.
///
/// This is the example of a name-based UUIDv8 in [RFC 9562], appendix B.2: as UUIDv5 (section 5.5),
/// with SHA-256 in place of SHA-1.
///
/// [RFC 9562]: https://www.rfc-editor.org/rfc/rfc9562#appendix-B.2
pub(crate) fn derived(namespace: Uuid, name: &str) -> Uuid {
    let digest = Sha256::new().chain_update(namespace.as_bytes()).chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, hashed)| *byte = hashed);
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests;
