//! YAML to checked specs, with every mistake of every file reported at once; JSON Schemas for
//! editors.
//!
//! A spec defines a cell or a flow. [`load`] reads the specs of files and folders with a
//! collecting reader (serde's derive would stop at the first mistake), checks each of them, then
//! checks them against each other. It returns either [`Specs`] in which everything is valid and
//! fits, or every mistake with its place and a hint.
//!
//! ```
//! let yaml = r#"
//! apiVersion: cbs/v1alpha1
//! kind: Cell
//! metadata: { name: logic.greet, labels: { demo: greeting } }
//! spec: { runtime: rust, concurrency: 8, timeout: 250ms }
//! ---
//! apiVersion: cbs/v1alpha1
//! kind: Flow
//! metadata: { name: greeting }
//! spec:
//!   steps:
//!     - { id: greet, call: logic.greet, with: "${ .input }" }
//! "#;
//! let options = spec::Options::default();
//! let specs = spec::load_texts([("greeting.yaml".into(), yaml)], &options)?;
//! let greet = specs.cell(&"logic.greet".parse()?).ok_or("no cell")?;
//! assert_eq!((greet.language(), greet.policy.concurrency, greet.policy.timeout.as_millis()), ("rust", 8, 250));
//! assert_eq!(specs.flows().len(), 1);
//!
//! // Two slips, two mistakes.
//! let yaml = yaml.replace("250ms", "250").replace("call: logic.greet", "call: logic.great");
//! let error = spec::load_texts([("greeting.yaml".into(), &*yaml)], &options).unwrap_err();
//! let mistakes: Vec<String> = error.diagnostics().into_iter().flatten().map(ToString::to_string).collect();
//! assert_eq!(mistakes, [
//!     "greeting.yaml:5:49: `timeout` must be a duration such as `250ms`, `1.5s` or `1m30s` [spec-bad-duration]\n \
//!       5 | spec: { runtime: rust, concurrency: 8, timeout: 250 }\n   \
//!         |                                                 ^^^\n\
//!      hint: say the unit, for example `250s` or `250ms`",
//!     "greeting.yaml:12:26: no spec declares the cell logic.great [spec-unknown-cell]\n \
//!       12 |     - { id: greet, call: logic.great, with: \"${ .input }\" }\n    \
//!          |                          ^^^^^^^^^^^\n\
//!      hint: did you mean `logic.greet`?",
//! ]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Note: paths in a spec (`source`, `command`) are relative to the file they stand in. The paths
//! in the loaded specs are relative to the working folder.
//!
//! # Layout
//!
//! - `load`: from paths to [`Specs`]. `files` finds and reads, `across` checks specs together.
//! - `yaml`: a subset of YAML 1.2 as a tree in which everything has its place.
//! - `read`: from the tree to [`model::CellSpec`] and [`FlowSpec`]; `read/shape.rs` is the table of
//!   all fields.
//! - `specs`: the checked specs, whose cells are data of `model`. `bounds`: ranges. `units`:
//!   durations and sizes.
//! - `schema`: schemas of payloads ([`model::Schema`]), found in the nearest folder `schemas`.
//! - `diagnostic`, `render`, `source`, `findings`, `code`, `suggest`: mistakes, their places, text,
//!   codes and hints.
//! - `editor`: [`editor_schema`]; tests check that it agrees with `read`.
//! - `revision`: short hashes of content.

mod across;
mod bounds;
mod code;
mod diagnostic;
mod editor;
mod error;
mod files;
mod findings;
mod load;
mod read;
mod render;
mod revision;
mod schema;
mod source;
mod specs;
mod suggest;
mod units;
mod yaml;

pub use bounds::FLOW_TIMEOUT_DEFAULT;
pub use code::CODES;
pub use diagnostic::{Diagnostic, Diagnostics};
pub use editor::editor_schema;
pub use error::{Error, PathError};
pub use files::is_spec;
pub use load::{Options, load, load_texts};
pub use source::SourceSpan;
pub use specs::{FlowSpec, Specs};
pub use suggest::nearest;
pub use units::{duration, duration_hint};
pub use yaml::document_at;

/// The `apiVersion` that this program reads.
pub const API_VERSION: &str = "cbs/v1alpha1";
