//! contract, being written
mod error; mod name; mod subject; mod text;
pub use error::*; pub use name::*; pub use subject::*; pub use text::Text;
