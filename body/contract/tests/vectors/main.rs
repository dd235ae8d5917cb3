//! The golden vectors in `specs/vectors/`, which every language reads.
//!
//! `CBS_BLESS=1 cargo test -p cbs --test vectors` writes the derived values anew: the frame of a
//! header, the header of a read-only frame, the error of a bad one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

mod form;
mod payloads;

use std::{collections::HashSet, str::FromStr};

use cbs::{
    BodyId, Bytes, CellName, Code, FlowName, NameError, Namespace, Subject, Target, Topic,
    TopicFilter, frame,
};
use serde::Deserialize;
use testkit::vectors::{assert_follows, hex, read, read_blessed, unhex};

use self::form::{Frames, Header};

const FRAMES: &str = "frames.json";

/// The same vectors with all derived values made anew.
fn follow(mut vectors: Frames) -> Frames {
    for good in &mut vectors.frames {
        if good.read_only {
            let envelope = frame::decode(unhex(&good.frame).into()).unwrap();
            (good.header, good.payload) = (Header::of(&envelope), hex(&envelope.payload));
        } else {
            good.frame = hex(&frame::encode(&good.header.envelope(unhex(&good.payload))));
        }
    }
    for bad in &mut vectors.bad {
        bad.error = frame::decode(unhex(&bad.frame).into())
            .map_or_else(|error| error.to_string(), |_| String::new());
    }
    vectors
}

fn frames() -> Frames {
    read_blessed(FRAMES, follow)
}

#[test]
fn frames_json_holds_what_this_program_reads_and_writes() {
    let hint = "`CBS_BLESS=1 cargo test -p cbs --test vectors` writes it";
    assert_follows(FRAMES, follow, hint);
}

#[test]
fn every_frame_is_read_as_its_header_says_and_written_as_it_stands() {
    for good in frames().frames {
        let name = &good.name;
        let bytes = Bytes::from(unhex(&good.frame));
        let envelope = good.header.envelope(unhex(&good.payload));
        let read = frame::decode(bytes.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read, envelope, "{name}");
        if !good.read_only {
            assert_eq!(frame::encode(&envelope), bytes, "{name}");
        }
    }
}

#[test]
fn every_bad_frame_is_refused_with_its_error() {
    for bad in frames().bad {
        let error = frame::decode(unhex(&bad.frame).into()).expect_err(&bad.name);
        assert_eq!(error.to_string(), bad.error, "{}", bad.name);
        assert!(!bad.error.is_empty());
    }
}

#[test]
fn names_of_vectors_are_unique_and_told() {
    let vectors = frames();
    let names = vectors.frames.iter().map(|good| (&good.name, &good.description));
    let names: Vec<_> =
        names.chain(vectors.bad.iter().map(|bad| (&bad.name, &bad.description))).collect();
    assert!(names.iter().all(|(name, description)| !name.is_empty() && description.ends_with('.')));
    let unique: HashSet<_> = names.iter().map(|(name, _)| name).collect();
    assert_eq!(unique.len(), names.len());
    assert!(vectors.about.contains("version 1"));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    #[serde(rename = "about")]
    _about: String,
    names: Vec<Kind>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    kind: String,
    valid: Vec<String>,
    invalid: Vec<String>,
}

#[test]
fn names_are_valid_and_invalid_as_names_json_says() {
    fn parse<T: FromStr<Err = NameError>>(text: &str) -> Result<(), NameError> {
        text.parse::<T>().map(|_| ())
    }
    for Kind { kind, valid, invalid } in read::<Names>("names.json").names {
        let check = match kind.as_str() {
            "cell" => parse::<CellName>,
            "flow" => parse::<FlowName>,
            "namespace" => parse::<Namespace>,
            "topic" => parse::<Topic>,
            "topic-filter" => parse::<TopicFilter>,
            "body" => parse::<BodyId>,
            "target" => parse::<Target>,
            other => panic!("names.json: no such kind: {other}"),
        };
        for text in valid {
            check(&text).unwrap_or_else(|error| panic!("{error}"));
        }
        for text in invalid {
            let error = check(&text).expect_err(&format!("`{text}` is no {kind}"));
            assert!(
                error.to_string().contains("for example"),
                "the error gives an example: {error}"
            );
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subjects {
    #[serde(rename = "about")]
    _about: String,
    subjects: Vec<Place>,
    matches: Vec<Match>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    of: String,
    namespace: Namespace,
    target: Option<String>,
    filter: Option<TopicFilter>,
    body: Option<BodyId>,
    subject: String,
    group: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    filter: TopicFilter,
    topic: Topic,
    hears: bool,
}

#[test]
fn subjects_are_spelled_as_subjects_json_says() {
    for place in read::<Subjects>("subjects.json").subjects {
        let Place { of, namespace, target, filter, body, subject, group } = place;
        let target: Option<Target> = target.map(|target| target.parse().unwrap());
        let spelled = match (of.as_str(), &target, &filter, &body) {
            ("target", Some(target), None, None) => Subject::of(&namespace, target),
            ("events", None, Some(filter), None) => Subject::of_events(&namespace, filter),
            ("cell-in-body", Some(Target::Cell(cell)), None, Some(body)) => {
                Subject::of_cell_in_body(&namespace, body, cell)
            }
            ("cells-in-body", None, None, Some(body)) => {
                Subject::of_cells_in_body(&namespace, body)
            }
            ("barrier", None, None, Some(body)) => Subject::of_barrier(&namespace, body),
            ("control", None, None, Some(body)) => Subject::of_control(&namespace, body),
            _ => panic!("subjects.json: not understood: {of} {subject}"),
        };
        assert_eq!(spelled.as_str(), subject);
        let shared = if of == "target" { target.as_ref().and_then(Subject::group) } else { None };
        assert_eq!(shared, group.as_deref(), "the queue group of {subject}");
    }
}

#[test]
fn filters_hear_the_topics_that_subjects_json_says() {
    for Match { filter, topic, hears } in read::<Subjects>("subjects.json").matches {
        assert_eq!(filter.matches(&topic), hears, "{filter} and {topic}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Errors {
    #[serde(rename = "about")]
    _about: String,
    codes: Vec<CodeStatus>,
    domain: u16,
    statuses: Vec<CodeStatus>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CodeStatus {
    code: String,
    status: u16,
}

#[test]
fn codes_have_the_statuses_that_errors_json_says() {
    let errors: Errors = read("errors.json");
    let texts = errors.codes.iter().map(|entry| entry.code.as_str());
    assert!(Code::kinds().eq(texts.chain(["domain"])), "the same codes, in the same order");
    for (kind, CodeStatus { code, status }) in errors.codes.iter().enumerate() {
        let read = Code::from(code.as_str());
        assert_eq!((read.as_str(), read.kind(), read.status()), (code.as_str(), kind, *status));
    }
    let own = Code::from("stock.empty");
    assert_eq!((own.as_str(), own.status()), ("stock.empty", errors.domain));
    assert_eq!(own.kind() + 1, Code::KINDS);
    assert_eq!(Code::from(""), Code::Internal);
    for status in 100..600 {
        let entry = errors.statuses.iter().find(|entry| entry.status == status);
        let expected = entry.map(|entry| Code::from(entry.code.as_str()));
        assert_eq!(Code::of_status(status), expected, "{status}");
    }
}
