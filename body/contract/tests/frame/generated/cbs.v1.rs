// @generated from specs/proto/ by `CBS_BLESS=1 cargo test -p tidy generated`.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Header {
    /// UUIDv7, 16 bytes; of a flow's step a UUIDv8, derived from the run's id. A retry keeps it. Absent in replies:
    /// theirs is the request's.
    #[prost(bytes = "bytes", tag = "1")]
    pub id: ::prost::bytes::Bytes,
    /// The id of the request that began it all, 16 bytes; absent where it equals `id`.
    #[prost(bytes = "bytes", tag = "2")]
    pub correlation_id: ::prost::bytes::Bytes,
    /// The id of the request whose handling sent this one, 16 bytes.
    #[prost(bytes = "bytes", tag = "3")]
    pub causation_id: ::prost::bytes::Bytes,
    /// The caller's own key: two calls with one key are one call.
    #[prost(string, tag = "4")]
    pub idempotency_key: ::prost::alloc::string::String,
    /// `cell logic.greet`, `flow greeting` or `topic order.created`; absent where the subject says it.
    #[prost(string, tag = "5")]
    pub target: ::prost::alloc::string::String,
    /// Sender: a claim for diagnosis, never authority.
    #[prost(message, optional, tag = "6")]
    pub source: ::core::option::Option<Source>,
    /// `domain/vN/Type` of the payload.
    #[prost(string, tag = "7")]
    pub schema: ::prost::alloc::string::String,
    /// Media type of the payload; absent: application/json.
    #[prost(string, tag = "8")]
    pub content_type: ::prost::alloc::string::String,
    /// When it was sent, in milliseconds since 1970-01-01T00:00:00Z by the sender's clock.
    /// Absent: the millisecond that the id holds, as every UUIDv7 does.
    #[prost(fixed64, tag = "9")]
    pub time_ms: u64,
    /// How many milliseconds remained of the call's time when it was sent; 0: not said.
    #[prost(uint64, tag = "10")]
    pub timeout_ms: u64,
    /// A foreign trace: trace id (16 bytes), parent span id (8), flags (1), as in W3C traceparent.
    /// Absent: trace id = correlation id, parent span = the last 8 bytes of the causation id.
    #[prost(bytes = "bytes", tag = "11")]
    pub trace: ::prost::bytes::Bytes,
    /// W3C tracestate, as it came.
    #[prost(string, tag = "12")]
    pub tracestate: ::prost::alloc::string::String,
    #[prost(enumeration = "Kind", tag = "13")]
    pub kind: i32,
    /// The error that a reply of kind ERROR carries.
    #[prost(message, optional, tag = "14")]
    pub error: ::core::option::Option<Error>,
    /// Anything else, at most 32 entries and 8 KiB.
    #[prost(message, repeated, tag = "15")]
    pub attributes: ::prost::alloc::vec::Vec<Attribute>,
    /// 0 for the first attempt, and one more for each retry.
    #[prost(uint32, tag = "16")]
    pub attempt: u32,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Source {
    #[prost(string, tag = "1")]
    pub body: ::prost::alloc::string::String,
    /// The cell or flow, as in `target`, that sent the request; absent for programs and in replies.
    #[prost(string, tag = "2")]
    pub cell: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub revision: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Error {
    /// `bad-request`, `timeout`, … or a cell's own `domain.code`.
    #[prost(string, tag = "1")]
    pub code: ::prost::alloc::string::String,
    /// One line for a person.
    #[prost(string, tag = "2")]
    pub message: ::prost::alloc::string::String,
    #[prost(bool, tag = "3")]
    pub retryable: bool,
    /// JSON, or absent.
    #[prost(bytes = "bytes", tag = "4")]
    pub details: ::prost::bytes::Bytes,
    /// The call was refused before the cell ran: trying again is safe.
    #[prost(bool, tag = "5")]
    pub not_run: bool,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    pub key: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub value: ::prost::alloc::string::String,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    Request = 0,
    Reply = 1,
    Error = 2,
    Event = 3,
    /// Not in use yet; the numbers are taken.
    Chunk = 4,
    End = 5,
    Accepted = 6,
    Cancel = 7,
    Credit = 8,
}
impl Kind {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Request => "KIND_REQUEST",
            Self::Reply => "KIND_REPLY",
            Self::Error => "KIND_ERROR",
            Self::Event => "KIND_EVENT",
            Self::Chunk => "KIND_CHUNK",
            Self::End => "KIND_END",
            Self::Accepted => "KIND_ACCEPTED",
            Self::Cancel => "KIND_CANCEL",
            Self::Credit => "KIND_CREDIT",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "KIND_REQUEST" => Some(Self::Request),
            "KIND_REPLY" => Some(Self::Reply),
            "KIND_ERROR" => Some(Self::Error),
            "KIND_EVENT" => Some(Self::Event),
            "KIND_CHUNK" => Some(Self::Chunk),
            "KIND_END" => Some(Self::End),
            "KIND_ACCEPTED" => Some(Self::Accepted),
            "KIND_CANCEL" => Some(Self::Cancel),
            "KIND_CREDIT" => Some(Self::Credit),
            _ => None,
        }
    }
}
