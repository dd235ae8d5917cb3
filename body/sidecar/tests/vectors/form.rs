//! Frames as the vectors write them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sidecar::{proto, wire::Kind};
use testkit::vectors::Hex;

/// The content of `sidecar.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vectors {
    pub(crate) about: String,
    pub(crate) frames: Vec<Good>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) bad: Vec<Bad>,
}

/// A frame, and its bytes on the stream.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Good {
    pub(crate) name: String,
    pub(crate) description: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) read_only: bool,
    pub(crate) frame: Said,
    pub(crate) bytes: Hex,
}

/// Bytes that are frames without any content that version 1 knows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Skipped {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) bytes: Hex,
}

/// A stream that ends badly.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bad {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) frame_bytes_max: usize,
    pub(crate) bytes: Hex,
    pub(crate) error: String,
}

/// A log line's level.
#[derive(Clone, Copy, Default, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    #[default]
    Info,
    Error,
    Warn,
    Debug,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Form of a schema type `P` in the vectors.
trait Form<P>: Sized {
    fn of(proto: &P) -> Self;
    fn proto(&self) -> P;
}

macro_rules! plain {
    ($($type:ty)*) => {$(
        impl Form<$type> for $type {
            fn of(proto: &$type) -> Self {
                proto.clone()
            }
            fn proto(&self) -> $type {
                self.clone()
            }
        }
    )*};
}
plain!(u32 u64 String);

impl Form<Bytes> for Hex {
    fn of(proto: &Bytes) -> Self {
        Self(proto.clone())
    }
    fn proto(&self) -> Bytes {
        self.0.clone()
    }
}

impl<P, F: Form<P>> Form<Vec<P>> for Vec<F> {
    fn of(proto: &Vec<P>) -> Self {
        proto.iter().map(F::of).collect()
    }
    fn proto(&self) -> Vec<P> {
        self.iter().map(F::proto).collect()
    }
}

impl<P, F: Form<P>> Form<Option<P>> for Option<F> {
    fn of(proto: &Option<P>) -> Self {
        proto.as_ref().map(F::of)
    }
    fn proto(&self) -> Option<P> {
        self.as_ref().map(F::proto)
    }
}

impl Form<i32> for Level {
    fn of(proto: &i32) -> Self {
        match proto::Level::try_from(*proto) {
            Ok(proto::Level::Error) => Self::Error,
            Ok(proto::Level::Warn) => Self::Warn,
            Ok(proto::Level::Debug) => Self::Debug,
            Ok(proto::Level::Info) | Err(_) => Self::Info,
        }
    }
    fn proto(&self) -> i32 {
        match self {
            Self::Info => proto::Level::Info,
            Self::Error => proto::Level::Error,
            Self::Warn => proto::Level::Warn,
            Self::Debug => proto::Level::Debug,
        }
        .into()
    }
}

macro_rules! forms {
    ($($name:ident { $($field:ident: $type:ty),* })*) => {$(
        #[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            $(#[serde(skip_serializing_if = "is_default")] $field: $type,)*
        }
        #[allow(unused_variables, reason = "some say nothing but that they were sent")]
        impl Form<proto::$name> for $name {
            fn of(proto: &proto::$name) -> Self {
                Self { $($field: Form::of(&proto.$field),)* }
            }
            fn proto(&self) -> proto::$name {
                proto::$name { $($field: self.$field.proto(),)* }
            }
        }
    )*};
}

forms! {
    Hello { protocol: u32, sdk: String, language: String, cells: Vec<String>, frame_bytes_max: u32, credit: u64, in_flight_max: u32 }
    Welcome {
        protocol: u32, version: String, body: String, namespace: String, cells: Vec<Cell>, frame_bytes_max: u32,
        credit: u64, ping_ms: u32, instance: u32, in_flight_max: u32, notes_max: u32
    }
    Cell { name: String, revision: String, config: Hex, concurrency: u32, timeout_ms: u64 }
    Ready {}
    Request { id: u64, envelope: Hex, within: u64 }
    Reply { id: u64, envelope: Hex }
    Cancel { id: u64 }
    Print { line: String, within: u64 }
    Ask { id: u64, question: String, within: u64 }
    Log { level: Level, message: String, within: u64, logger: String, fields: Vec<Field> }
    Field { key: String, value: String }
    Credit { bytes: u64 }
    Ping { nonce: u64 }
    Pong { nonce: u64, in_flight: u32, queued: u32, lag_us: u64, lock_wait_us: u64 }
    Drain { timeout_ms: u64 }
    Goodbye { reason: String }
    Note { within: u64, attribute: Option<Field>, event: Option<Event>, dropped: u32 }
    Event { name: String, time_ns: u64, attributes: Vec<Field> }
}

macro_rules! kinds {
    ($($name:ident)*) => {
        /// A frame: its kind's name in the schema, and the kind's fields.
        #[derive(Serialize, Deserialize, Debug, PartialEq)]
        #[serde(rename_all = "snake_case")]
        pub(crate) enum Said { $($name($name),)* }
        impl Said {
            pub(crate) const KINDS: usize = [$(stringify!($name)),*].len();

            pub(crate) fn of(kind: &Kind) -> Self {
                match kind { $(Kind::$name(proto) => Self::$name(Form::of(proto)),)* }
            }
            pub(crate) fn kind(&self) -> Kind {
                match self { $(Self::$name(form) => Kind::$name(form.proto()),)* }
            }
        }
    };
}
kinds!(Hello Welcome Ready Request Reply Cancel Print Ask Log Credit Ping Pong Drain Goodbye Note);
