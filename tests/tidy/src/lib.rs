//! House rules as tests: this library reads the tree, `tests/tidy/` says the rules.
//!
//! ```
//! // A rule is a list of places where it is broken; the test says the sentence and shows them.
//! let long: Vec<String> = tidy::tree::files(&["rs"])?
//!     .iter()
//!     .filter(|file| file.text.lines().count() > 500)
//!     .map(|file| file.path.clone())
//!     .collect();
//! assert!(long.is_empty(), "a file has at most 500 lines: {long:?}");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Layout
//!
//! - [`tree`]: the files of the repository
//! - [`rust`]: functions, structs and traits of a Rust file, with their sizes
//! - [`crates`]: the table of rooms, and who may use whom
//! - [`workspace`]: what Cargo knows of members and dependencies
//! - [`licence`]: licence expressions
//! - [`markdown`]: tables and links
//! - [`protobuf`]: the generated code that `specs/proto/` gives

pub mod crates;
pub mod licence;
pub mod markdown;
pub mod protobuf;
pub mod rust;
pub mod tree;
pub mod workspace;
