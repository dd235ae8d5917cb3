//! Refusals of JetStream, as errors of the store.

use std::fmt;

use async_nats::jetstream::{
    self,
    context::{CreateStreamError, CreateStreamErrorKind},
};

use super::StoreError;

/// Error codes of a server where JetStream is off, or off for this account.
pub(super) const IS_OFF: [jetstream::ErrorCode; 2] = [
    jetstream::ErrorCode::JETSTREAM_NOT_ENABLED,
    jetstream::ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT,
];

/// Error codes of a server, an account or a stream that has no space left. Some of them have the
/// status of a failure that may pass.
const FULL: [jetstream::ErrorCode; 5] = [
    jetstream::ErrorCode::INSUFFICIENT_RESOURCES,
    jetstream::ErrorCode::STORAGE_RESOURCES_EXCEEDED,
    jetstream::ErrorCode::MEMORY_RESOURCES_EXCEEDED,
    jetstream::ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    jetstream::ErrorCode::STREAM_STORE_FAILED,
];

/// Returns the error for a request that was not done, with the whole chain of causes in one line.
pub(super) fn unavailable(bucket: &str, error: &(dyn std::error::Error + 'static)) -> StoreError {
    let (bucket, reason) = (bucket.to_owned(), chain(error));
    // As in HTTP: 4xx is the client's fault, except a timeout. All else may pass, as too many
    // listings at once do.
    match refusal(error)
        .filter(|refused| refused.error_code() != jetstream::ErrorCode::MAXIMUM_CONSUMERS_LIMIT)
    {
        Some(refused) if FULL.contains(&refused.error_code()) => {
            let reason = format!(
                "JetStream is full ({reason}): remove what is not needed, or raise its limits"
            );
            StoreError::Refused { bucket, reason }
        }
        Some(refused) if matches!(refused.code(), 400..=407 | 409..=499) => {
            StoreError::Refused { bucket, reason }
        }
        // No server answers for a bucket whose servers are away, though the server that was asked
        // is there.
        None if reason.contains("deadline has elapsed") => {
            let reason = "no answer in time; if its only copy is on a server that is down, start that server again";
            StoreError::Unavailable { bucket, reason: reason.to_owned() }
        }
        _ => StoreError::Unavailable { bucket, reason },
    }
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !line.contains(&said) {
            let _ = fmt::Write::write_fmt(&mut line, format_args!(": {said}"));
        }
        cause = inner.source();
    }
    line
}

/// Returns the server's reason for a refusal.
pub(super) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<jetstream::Error> {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<jetstream::Error>() {
            return Some(refused.clone());
        }
        // It names its cause without giving it.
        if let Some(error) = inner.downcast_ref::<CreateStreamError>()
            && let CreateStreamErrorKind::JetStream(refused) = error.kind()
        {
            return Some(refused);
        }
        cause = inner.source();
    }
    None
}

pub(super) fn refused_with(
    error: &(dyn std::error::Error + 'static),
    code: jetstream::ErrorCode,
) -> bool {
    refusal(error).is_some_and(|refused| refused.error_code() == code)
}

/// True if the server says that there is no such stream.
pub(super) fn says_not_found(error: &(dyn std::error::Error + 'static)) -> bool {
    match refusal(error) {
        Some(refused) => refused.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND,
        None => chain(error).contains("stream not found"),
    }
}

/// True if the servers are not enough, or may not be used, for so many replicas.
pub(super) fn has_too_few_servers(error: &(dyn std::error::Error + 'static)) -> bool {
    use jetstream::ErrorCode as Code;
    let few = [
        Code::STREAM_REPLICAS_NOT_SUPPORTED,
        Code::CLUSTER_NO_PEERS,
        Code::INSUFFICIENT_RESOURCES,
        Code::ACCOUNT_RESOURCES_EXCEEDED,
        Code::NO_LIMITS,
    ];
    refusal(error).is_some_and(|refused| few.contains(&refused.error_code()))
}
