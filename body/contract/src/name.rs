//! Names of cells, flows, namespaces, topics and bodies.
//!
//! Every name is checked once, when it is made. So a value of a name type is always a valid NATS
//! subject token (or several joined by dots).

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest part of a name, in bytes: a DNS label's length, so that every name can
/// become a Kubernetes resource.
pub const PART_BYTES_MAX: usize = 63;
/// The most parts a topic may have.
pub const TOPIC_PARTS_MAX: usize = 8;
/// The organ of all flows; no cell may use it.
pub const FLOW_ORGAN: &str = "flow";

/// A name that breaks the rules: the kind of the name, the text, and the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {rule}")]
pub struct NameError {
    /// Kind of the name, for example `cell name`.
    pub what: &'static str,
    /// The text as it was given, cut to 80 characters.
    pub text: String,
    /// The rule that it breaks, with an example.
    pub rule: &'static str,
}

fn wrong(what: &'static str, text: &str, rule: &'static str) -> NameError {
    NameError { what, text: text.chars().take(80).collect(), rule }
}

/// `[a-z][a-z0-9_-]*`, at most 63 bytes.
fn is_part(part: &str) -> bool {
    part.as_bytes().first().is_some_and(u8::is_ascii_lowercase) && is_token(part)
}

/// `[a-z0-9_-]+`, at most 63 bytes.
fn is_token(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= PART_BYTES_MAX
        && part
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and makes it a name.
            ///
            /// # Errors
            /// [`NameError`] says which rule the text breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(Arc::from(text))) } else { Err(wrong($what, text, $rule)) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a cell: `organ.cell`, each part `[a-z][a-z0-9_-]*` of at most 63 bytes.
    ///
    /// ```
    /// let name: cbs::CellName = "logic.greet".parse()?;
    /// assert_eq!((name.organ(), name.part()), ("logic", "greet"));
    /// assert!("flow.greet".parse::<cbs::CellName>().is_err()); // `flow` is reserved
    /// # Ok::<(), cbs::NameError>(())
    /// ```
    CellName,
    "cell name",
    "write `organ.cell`, for example `logic.greet`: two parts of a-z, 0-9, `_` and `-` that start with a letter, \
     at most 63 bytes each, and the organ is not `flow`",
    |text| {
        text.split_once('.')
            .is_some_and(|(organ, part)| is_part(organ) && is_part(part) && organ != FLOW_ORGAN)
    }
);

impl CellName {
    /// The part before the dot.
    #[must_use]
    pub fn organ(&self) -> &str {
        self.0.split_once('.').map_or("", |(organ, _)| organ)
    }

    /// The part after the dot: the cell's own.
    #[must_use]
    pub fn part(&self) -> &str {
        self.0.split_once('.').map_or("", |(_, part)| part)
    }
}

name!(
    /// The name of a flow: one part, `[a-z][a-z0-9_-]*` of at most 63 bytes.
    FlowName,
    "flow name",
    "write one part of a-z, 0-9, `_` and `-` that starts with a letter, at most 63 bytes, for example `greeting`",
    is_part
);

name!(
    /// A namespace: a DNS label (`[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 63 bytes).
    /// It keeps things apart, not people: accounts of the server do that.
    Namespace,
    "namespace",
    "write a DNS label: a-z, 0-9 and inner `-`, at most 63 bytes, for example `default` or `demo-x7f2`",
    |text| is_token(text) && !text.contains('_') && !text.starts_with('-') && !text.ends_with('-')
);

impl Default for Namespace {
    /// The namespace `default`.
    fn default() -> Self {
        Self(Arc::from("default"))
    }
}

name!(
    /// The topic of an event: one to eight parts joined by dots, for example `order.created`.
    Topic,
    "topic",
    "write one to eight parts joined by dots, each of a-z, 0-9, `_` and `-` and starting with a letter, \
     for example `order.created`",
    |text| text.split('.').count() <= TOPIC_PARTS_MAX && text.split('.').all(is_part)
);

name!(
    /// Filter of the topics that a subscription receives: a topic in which a part may be `*` (any
    /// one part) and the last part `>` (one part or more), as in NATS subjects.
    TopicFilter,
    "topic filter",
    "write a topic in which `*` stands for one part and a last `>` for the rest, for example `order.*` or `order.>`",
    |text| {
        let parts: Vec<&str> = text.split('.').collect();
        let (last, rest) = parts.split_last().map_or(("", &[][..]), |(last, rest)| (*last, rest));
        parts.len() <= TOPIC_PARTS_MAX
            && rest.iter().all(|part| *part == "*" || is_part(part))
            && (last == "*" || last == ">" || is_part(last))
    }
);

impl TopicFilter {
    /// True if a subscription with this filter receives events of this topic.
    ///
    /// ```
    /// let filter: cbs::TopicFilter = "order.>".parse()?;
    /// assert!(filter.matches(&"order.created.eu".parse()?));
    /// assert!(!filter.matches(&"order".parse()?));
    /// # Ok::<(), cbs::NameError>(())
    /// ```
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        let mut parts = topic.0.split('.');
        for wanted in self.0.split('.') {
            match (wanted, parts.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(part)) if wanted == part => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

impl From<Topic> for TopicFilter {
    fn from(topic: Topic) -> Self {
        Self(topic.0)
    }
}

name!(
    /// The id of a body, unique among the bodies of a namespace: `<host>-<6 random>` unless chosen.
    BodyId,
    "body id",
    "write a-z, 0-9, `_` and `-`, at most 63 bytes, for example `web1-7f3a91`",
    |text| is_token(text) && !text.starts_with('-')
);

/// Target that an envelope is addressed to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// One cell answers.
    Cell(CellName),
    /// One run of a flow answers.
    Flow(FlowName),
    /// All subscribers of the topic receive it; nobody answers.
    Topic(Topic),
}

impl Target {
    /// Kind of the target as text: `cell`, `flow` or `topic`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cell(_) => "cell",
            Self::Flow(_) => "flow",
            Self::Topic(_) => "topic",
        }
    }

    /// The name without the kind.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Cell(name) => name.as_str(),
            Self::Flow(name) => name.as_str(),
            Self::Topic(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Target {
    /// `cell logic.greet`, `flow greeting`, `topic order.created`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

impl FromStr for Target {
    type Err = NameError;

    /// Reads [`Display`](fmt::Display)'s form; a text without a kind is a cell's name.
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once(' ') {
            Some(("flow", name)) => name.parse().map(Self::Flow),
            Some(("topic", name)) => name.parse().map(Self::Topic),
            Some(("cell", name)) => name.parse().map(Self::Cell),
            _ => text.parse().map(Self::Cell),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl From<CellName> for Target {
    fn from(name: CellName) -> Self {
        Self::Cell(name)
    }
}

impl From<FlowName> for Target {
    fn from(name: FlowName) -> Self {
        Self::Flow(name)
    }
}

impl From<Topic> for Target {
    fn from(topic: Topic) -> Self {
        Self::Topic(topic)
    }
}
