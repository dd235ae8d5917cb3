// @generated from specs/proto/ by `CBS_BLESS=1 cargo test -p tidy generated`.
/// One thing said by one side to the other. A frame of a kind that a side does not know is
/// skipped: later versions may say more.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Frame {
    #[prost(
        oneof = "frame::Kind",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15"
    )]
    pub kind: ::core::option::Option<frame::Kind>,
}
/// Nested message and enum types in `Frame`.
pub mod frame {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Kind {
        /// Sidecar to body, once, first of all.
        #[prost(message, tag = "1")]
        Hello(super::Hello),
        /// Body to sidecar, once, in answer to hello.
        #[prost(message, tag = "2")]
        Welcome(super::Welcome),
        /// Sidecar to body, once: its start hooks are done, requests may come.
        #[prost(message, tag = "3")]
        Ready(super::Ready),
        /// Either way: a call to be answered, or from the sidecar an event to be published.
        #[prost(message, tag = "4")]
        Request(super::Request),
        /// Either way: the answer to a request. Every request has exactly one.
        #[prost(message, tag = "5")]
        Reply(super::Reply),
        /// Either way: whoever sent this request has given up. It is still answered.
        #[prost(message, tag = "6")]
        Cancel(super::Cancel),
        /// Sidecar to body: a line for the standard output of the body's program.
        #[prost(message, tag = "7")]
        Print(super::Print),
        /// Sidecar to body: a question to the person at the body's program. Answered by a reply.
        #[prost(message, tag = "8")]
        Ask(super::Ask),
        /// Sidecar to body: a line for the body's log.
        #[prost(message, tag = "9")]
        Log(super::Log),
        /// Either way: so many more bytes may be sent to me.
        #[prost(message, tag = "10")]
        Credit(super::Credit),
        /// Body to sidecar: are you well? Answered by pong.
        #[prost(message, tag = "11")]
        Ping(super::Ping),
        /// Sidecar to body: I am, and so busy.
        #[prost(message, tag = "12")]
        Pong(super::Pong),
        /// Body to sidecar: no more requests will come; finish what you have, then say goodbye.
        #[prost(message, tag = "13")]
        Drain(super::Drain),
        /// Either way, last of all: the socket is closed after it, for this reason.
        #[prost(message, tag = "14")]
        Goodbye(super::Goodbye),
        /// Sidecar to body: something that a cell's author says about the call that is being handled.
        #[prost(message, tag = "15")]
        Note(super::Note),
    }
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Hello {
    /// The version of this protocol that the sidecar speaks: 1.
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// Name and version of the SDK, for example `cbs-dart 0.1.0`.
    #[prost(string, tag = "2")]
    pub sdk: ::prost::alloc::string::String,
    /// Language and its version, for example `dart 3.13.4`.
    #[prost(string, tag = "3")]
    pub language: ::prost::alloc::string::String,
    /// The cells that this process can serve.
    #[prost(string, repeated, tag = "4")]
    pub cells: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// The largest frame that the sidecar reads, in bytes; 0: as large as the body's.
    #[prost(uint32, tag = "5")]
    pub frame_bytes_max: u32,
    /// How many bytes the body may send before it is given more; 0: no limit.
    #[prost(uint64, tag = "6")]
    pub credit: u64,
    /// How many requests it takes at once; 0: as many as the body likes. What is beyond is answered
    /// with `overloaded`.
    #[prost(uint32, tag = "7")]
    pub in_flight_max: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Welcome {
    /// The version that is spoken from here on: 1.
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// Version of the body's program.
    #[prost(string, tag = "2")]
    pub version: ::prost::alloc::string::String,
    /// The body's id and its namespace.
    #[prost(string, tag = "3")]
    pub body: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    pub namespace: ::prost::alloc::string::String,
    /// What this process is to serve: in version 1 always one.
    #[prost(message, repeated, tag = "5")]
    pub cells: ::prost::alloc::vec::Vec<Cell>,
    /// The largest frame that the body reads, in bytes.
    #[prost(uint32, tag = "6")]
    pub frame_bytes_max: u32,
    /// How many bytes the sidecar may send before it is given more.
    #[prost(uint64, tag = "7")]
    pub credit: u64,
    /// How often the body sends ping, in milliseconds.
    #[prost(uint32, tag = "8")]
    pub ping_ms: u32,
    /// Which of the cell's processes this one is, from 0.
    #[prost(uint32, tag = "9")]
    pub instance: u32,
    /// How many requests and questions of the sidecar may be unanswered at once; what is beyond is
    /// answered with `overloaded`.
    #[prost(uint32, tag = "10")]
    pub in_flight_max: u32,
    /// How many notes about one request the body keeps; 0: it does not know notes, and none may be sent.
    #[prost(uint32, tag = "11")]
    pub notes_max: u32,
}
/// A cell as its spec describes it.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Cell {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    /// The revision of the spec.
    #[prost(string, tag = "2")]
    pub revision: ::prost::alloc::string::String,
    /// The spec's `config`, a JSON map; absent where it is empty.
    #[prost(bytes = "bytes", tag = "3")]
    pub config: ::prost::bytes::Bytes,
    /// How many requests the body sends at once, to all processes of the cell together.
    #[prost(uint32, tag = "4")]
    pub concurrency: u32,
    /// The most time that one call may take, in milliseconds.
    #[prost(uint64, tag = "5")]
    pub timeout_ms: u64,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Ready {}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Request {
    /// Chosen by who sends it, increasing from 1; each side counts its own.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// A frame of cbs.v1 (0xCB 0x01 …) whose header names the target. From the sidecar the ids,
    /// source and trace may be absent: the body fills in what follows from `within`.
    #[prost(bytes = "bytes", tag = "2")]
    pub envelope: ::prost::bytes::Bytes,
    /// From the sidecar: the id of the body's request whose handling sends this one; 0: none.
    #[prost(uint64, tag = "3")]
    pub within: u64,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Reply {
    /// The id of the request.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// A frame of cbs.v1 of kind REPLY or ERROR, or plain: the payload alone, a reply.
    #[prost(bytes = "bytes", tag = "2")]
    pub envelope: ::prost::bytes::Bytes,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Cancel {
    #[prost(uint64, tag = "1")]
    pub id: u64,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Print {
    #[prost(string, tag = "1")]
    pub line: ::prost::alloc::string::String,
    #[prost(uint64, tag = "2")]
    pub within: u64,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Ask {
    /// Counted with the sidecar's requests, and answered as they are: the payload is the answer
    /// as a JSON text, or null where nobody can be asked.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub question: ::prost::alloc::string::String,
    #[prost(uint64, tag = "3")]
    pub within: u64,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Log {
    #[prost(enumeration = "Level", tag = "1")]
    pub level: i32,
    #[prost(string, tag = "2")]
    pub message: ::prost::alloc::string::String,
    #[prost(uint64, tag = "3")]
    pub within: u64,
    /// Which part of the cell says it; may be absent.
    #[prost(string, tag = "4")]
    pub logger: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "5")]
    pub fields: ::prost::alloc::vec::Vec<Field>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Field {
    #[prost(string, tag = "1")]
    pub key: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub value: ::prost::alloc::string::String,
}
/// What a cell's author says about a request while it is handled, for the span that the body records of it: an
/// attribute, or an event, or how many of both found no room.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Note {
    /// The id of the body's request.
    #[prost(uint64, tag = "1")]
    pub within: u64,
    /// Something that is so; of two of one key the later counts.
    #[prost(message, optional, tag = "2")]
    pub attribute: ::core::option::Option<Field>,
    /// Something that happened.
    #[prost(message, optional, tag = "3")]
    pub event: ::core::option::Option<Event>,
    /// How many notes about the request the sidecar did not send: they were too many, or there was no room for them.
    #[prost(uint32, tag = "4")]
    pub dropped: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Event {
    /// What happened, for example `cache miss`.
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    /// When, in nanoseconds since 1970.
    #[prost(uint64, tag = "2")]
    pub time_ns: u64,
    /// More about it.
    #[prost(message, repeated, tag = "3")]
    pub attributes: ::prost::alloc::vec::Vec<Field>,
}
/// Requests, replies, prints, asks, logs and notes cost their whole frame, with the four bytes of its
/// length. A side that has credit above zero may send one frame, and so overdraw by that one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Credit {
    #[prost(uint64, tag = "1")]
    pub bytes: u64,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Ping {
    #[prost(uint64, tag = "1")]
    pub nonce: u64,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Pong {
    /// The ping's.
    #[prost(uint64, tag = "1")]
    pub nonce: u64,
    /// Requests being handled, and those that wait within the process.
    #[prost(uint32, tag = "2")]
    pub in_flight: u32,
    #[prost(uint32, tag = "3")]
    pub queued: u32,
    /// How late the process's event loop is, in microseconds.
    #[prost(uint64, tag = "4")]
    pub lag_us: u64,
    /// How long its threads wait for a lock that they share (Python's), in microseconds.
    #[prost(uint64, tag = "5")]
    pub lock_wait_us: u64,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Drain {
    /// How long the body will wait, in milliseconds.
    #[prost(uint64, tag = "1")]
    pub timeout_ms: u64,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Goodbye {
    /// Why: one line for a person; absent after drain.
    #[prost(string, tag = "1")]
    pub reason: ::prost::alloc::string::String,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Level {
    Info = 0,
    Error = 1,
    Warn = 2,
    Debug = 3,
}
impl Level {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Info => "LEVEL_INFO",
            Self::Error => "LEVEL_ERROR",
            Self::Warn => "LEVEL_WARN",
            Self::Debug => "LEVEL_DEBUG",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "LEVEL_INFO" => Some(Self::Info),
            "LEVEL_ERROR" => Some(Self::Error),
            "LEVEL_WARN" => Some(Self::Warn),
            "LEVEL_DEBUG" => Some(Self::Debug),
            _ => None,
        }
    }
}
