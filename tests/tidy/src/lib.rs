//! The project's rules as tests: this library reads the tree, `tests/tidy/` has the rules.
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
//! - [`crates`]: the table of crates, and the crates that each may use
//! - [`workspace`]: members and dependencies, as Cargo reports them
//! - [`licence`]: licence expressions
//! - [`markdown`]: tables and links
//! - [`protobuf`]: the code that is generated from `specs/proto/`

pub mod crates;
pub mod licence;
pub mod markdown;
pub mod protobuf;
pub mod rust;
pub mod tree;
pub mod workspace;
