//! The flow engine: a checked [`Plan`], and a [`Run`] that turns events into decisions.
//!
//! It is pure: no I/O, no clock, no random numbers, and it never awaits. A driver carries out its
//! decisions over a bus and gives it the outcomes as events. All decisions follow from the plan,
//! the run's id and the events, so that a run can be journalled and replayed ([`Run::replay`]).
//!
//! ```
//! use std::sync::Arc;
//! use flow::{Decision, Event, Flow, Plan, Run, Step};
//! use serde_json::json;
//!
//! let step = |id: &str, cell: &str, with: &str| Step {
//!     id: id.into(),
//!     target: cell.parse().unwrap(),
//!     with: Some(json!(with)),
//!     when: None, each: None, needs: None, retry: None, timeout: None, catch: None,
//! };
//! let plan = Plan::new(Flow {
//!     name: "greeting".parse().unwrap(),
//!     steps: vec![
//!         step("prompt", "io.prompt_name", "${ .input }"),
//!         step("greet", "logic.greet", "${ .steps.prompt }"),
//!     ],
//!     output: Some(json!("${ .steps.greet.text }")),
//! });
//! let request = cbs::Envelope::request("flow greeting".parse().unwrap(), "{}");
//! let id = flow::run_id(request.id, request.attempt);
//! let mut run = Run::new(Arc::new(plan.expect("no problems")), id);
//!
//! // A driver in small: it carries out each decision and tells the run what came of it.
//! let mut output = None;
//! let at_ms = cbs::now_ms();
//! let mut events = vec![Event::Started { at_ms, input: json!({"name": "Ada"}).into() }];
//! while let Some(event) = events.pop() {
//!     for decision in run.handle(event) {
//!         match decision {
//!             Decision::Call { call, target, input, .. } => {
//!                 let value = match target.name() {
//!                     "logic.greet" => {
//!                         let input: serde_json::Value = serde_json::from_slice(&input.into_bytes())?;
//!                         json!({"text": format!("Hello, {}!", input["name"].as_str().unwrap())}).into()
//!                     }
//!                     _ => input,
//!                 };
//!                 events.push(Event::Answered { at_ms: cbs::now_ms(), call, value });
//!             }
//!             Decision::Wait { call, due_ms } => events.push(Event::Waited { at_ms: due_ms, call }),
//!             Decision::Finish { output: value } => output = Some(value),
//!             Decision::Fail { error } => panic!("{error}"),
//!             Decision::Log(_) => {}
//!         }
//!     }
//! }
//! assert_eq!(output, Some(json!("Hello, Ada!").into()));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! # Expressions
//!
//! A text that is wholly `${ … }` is an expression in jq, anywhere in `with`, `when`, `each`,
//! `output` and `catch`. Its roots are `.input`, `.steps.<id>` of the steps done before, in
//! `each` `.item` and `.index`, in `catch` `.error` (`code`, `message`, `retryable`,
//! `details`). It gives exactly one value. It is compiled once, when the plan is made. Parts of
//! jq that are not allowed (definitions, recursion, time, input, environment, effects) are a
//! [`Problem`] there. Each evaluation has a budget of work and memory, and each result a
//! limit of 1 MiB of text, 100,000 parts and 100 levels: `${ [range(1e9)] }` is an error after
//! half a second and cannot use up the machine. An expression that has no value fails its step
//! with the code `flow.expression`.
//!
//! That error names the expression and the kinds of values (`cannot add a map and a number`), never
//! a value. The values are in a [`LogEntry::NoValue`], for the body's own log. A text that stands
//! in the expression, as in `error("no lines")`, is reported unchanged.
//!
//! # Numbers
//!
//! A value that only passes through a flow keeps its text, see [`Json`]. A value that an expression
//! takes apart keeps all digits of its numbers. `+`, `-`, `*` and `%` of integers are exact at any
//! size, `/` if there is no remainder. Everything else, also `sqrt` and `pow`, is calculated in
//! doubles, where an integer that does not fit a double is an error. A fraction counts as a double
//! as soon as it is calculated with.
//!
//! # Where expressions differ from jq
//!
//! - Definitions, recursion, time, environment and effects are refused: a [`Problem`] names the
//!   part and the reason.
//! - Numbers that are not calculated with stay as they are written, also `1.10` and `1e3`.
//! - A place in a list is a whole number: `.[1.0]` of a payload's `1.0` is an error, `.[4 / 2]` is
//!   not.
//! - A number as the key of a map finds nothing, and is no error.
//! - `capture` and `match` leave out groups that took no part; jq gives `null` for them.
//! - `@base64d` needs its padding; a text is not multiplied by a fraction.
//! - Regular expressions have no look-around and no references back to groups, and a `{` that is
//!   meant as itself is written `\\{`. They are read when the expression runs.
//! - An update below `null` (`{} | .a.b |= 3`) is an error; jq makes the maps.
//! - A negative count of `limit` or depth of `flatten` is no error. There is no `nan`, `infinite`
//!   or `IN`.
//! - A character beyond U+FFFF in a text is written as itself, not as two escapes.
//!
//! # Layout
//!
//! - `definition`: a flow as its author wrote it, and the problems it may have
//! - `codes`: the codes of problems
//! - `plan`: from a flow to its plan; `plan::order` orders the steps, `plan::check` does the rest
//! - `json`: values that are passed on
//! - `template`: JSON with expressions in it
//! - `expression`: jq. `syntax` and `walk` read and walk through its tree; `functions`,
//!   `allowed` and `reads` check it; `meter` and `natives` limit it; `math` calculates; `engine`
//!   compiles and runs it by jaq; `value` writes JSON; `failure` is the reason for no value
//! - `event`, `call`: events that a run receives, decisions that it returns, names of calls
//! - `id`: ids that are derived
//! - `run`: the state machine; `run::calls` is a running step, `run::failure` handles failures,
//!   `run::retry` decides about retries and their waits, `run::replay` rebuilds a run
//! - `suggest`: "did you mean"

mod call;
mod codes;
mod definition;
mod event;
mod expression;
mod id;
mod json;
mod plan;
mod run;
mod suggest;
mod template;
#[cfg(test)]
mod testing;

pub use call::{CallId, CallIdError};
pub use codes::CODES;
pub use definition::{Catch, Each, Flow, PARALLEL_DEFAULT, PathPart, Problem, Step};
pub use event::{Decision, Event, LogEntry};
pub use id::run_id;
pub use json::Json;
pub use plan::{Plan, PlanStep};
pub use run::Run;
