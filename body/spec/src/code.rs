//! The codes of mistakes: stable, for people to look up and for tools to match.
//!
//! Codes that begin with `flow-` come from [`flow::Problem`].

macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        $(pub(crate) const $name: &str = $code;)*

        /// Every code of this crate with its meaning in one line.
        pub const CODES: &[(&str, &str)] = &[$(($code, $meaning)),*];
    };
}

codes! {
    UNREADABLE = "spec-unreadable", "a file of a folder of specs cannot be read";
    NO_FILE = "spec-no-file", "a note: what was found under the name of a file of specs is a FIFO, a socket or a device";
    TOO_LARGE = "spec-too-large", "a file of specs is larger than 1 MiB";
    NOT_TEXT = "spec-not-text", "a file of specs is no UTF-8 text, or has a NUL character";
    EMPTY = "spec-empty", "a file or folder has no specs";
    FOREIGN = "spec-foreign", "a note: a file of a folder is passed over, for it has no `apiVersion: cbs/…`";
    NOT_READ = "spec-not-read", "a note: a folder that is not read has specs";
    TOO_MANY = "spec-too-many", "a file has so many mistakes that the rest is left out";
    SYNTAX = "spec-syntax", "a document is no YAML";
    TOO_DEEP = "spec-too-deep", "a document is nested more than 64 levels deep";
    ALIAS = "spec-alias", "a document uses an alias `*name`, which specs do not have";
    TAG = "spec-tag", "a document uses a tag other than `!!str`, which specs do not have";
    KEY = "spec-key", "a key is no plain text";
    NUMBER = "spec-number", "a number cannot be written in JSON";
    DUPLICATE_KEY = "spec-duplicate-key", "a key stands twice in one map";
    UNKNOWN_VERSION = "spec-unknown-version", "the `apiVersion` is not one that this program knows";
    UNKNOWN_KIND = "spec-unknown-kind", "the `kind` is not one that this program knows";
    UNKNOWN_FIELD = "spec-unknown-field", "a field is not one of those that may stand there";
    MISSING_FIELD = "spec-missing-field", "a field that must be there is not";
    WRONG_TYPE = "spec-wrong-type", "a value is of another type than its field";
    CONFLICT = "spec-conflict", "two fields stand together that exclude each other";
    BAD_NAME = "spec-bad-name", "a name breaks the rules of names";
    BAD_VALUE = "spec-bad-value", "a text is none of those that its field takes";
    BAD_DURATION = "spec-bad-duration", "a duration is not of the form `250ms`, `1.5s` or `1m30s`";
    BAD_SIZE = "spec-bad-size", "a size is not of the form `64MiB`";
    BAD_VERSION = "spec-bad-version", "a cell's version is no semantic version";
    OUT_OF_RANGE = "spec-out-of-range", "a number, duration, size or text is too small or too large";
    WRONG_RUNTIME = "spec-wrong-runtime", "a field means nothing for this runtime";
    MISSING_FILE = "spec-missing-file", "a file that a spec names is not there";
    UNKNOWN_SCHEMA = "spec-unknown-schema", "a schema is not in the folder of schemas";
    BAD_SCHEMA = "spec-bad-schema", "a schema is no valid JSON Schema";
    DUPLICATE_NAME = "spec-duplicate-name", "two specs have one name";
    SIMILAR_NAME = "spec-similar-name", "two names differ only in `-` and `_`";
    UNKNOWN_CELL = "spec-unknown-cell", "a flow calls a cell that no spec declares";
    UNKNOWN_FLOW = "spec-unknown-flow", "a flow calls a flow that no spec declares";
    FLOW_CYCLE = "spec-flow-cycle", "flows call each other in a circle";
}
