//! The codes of problems: stable, for people to look up and for tools to match.

/// Every code that a [`Problem`](crate::Problem) may have, with its meaning in one line.
pub const CODES: &[(&str, &str)] = &[
    ("flow-catch", "a `catch` names a code that no error has"),
    ("flow-cycle", "steps wait for each other"),
    ("flow-each", "an `each` has no list, or may run nothing at once"),
    ("flow-empty", "a flow has no steps"),
    ("flow-interpolation", "a text holds `${` and is not one expression"),
    ("flow-needs", "a step needs one that is not there, or itself"),
    ("flow-not-before", "an expression reads a step that is not done before"),
    ("flow-refused", "an expression uses something of jq that flows do not have"),
    ("flow-root", "an expression reads a root that is not there"),
    ("flow-step-id", "the id of a step breaks the rules of ids"),
    ("flow-step-twice", "two steps have one id"),
    ("flow-syntax", "an expression is no jq"),
    ("flow-target", "a step calls what cannot answer"),
    ("flow-timeout", "a timeout is 0"),
    ("flow-unknown-step", "an expression reads a step that is not there"),
    ("flow-when", "a `when` is no expression"),
];
