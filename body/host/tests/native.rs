//! Rust cells by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use cbs::{CellContext, CellError};
use host::{Host, HostError, NativeHost};
use support::cell_spec;

async fn nothing(_: &CellContext, (): ()) -> Result<(), CellError> {
    Ok(())
}

#[test]
fn bad_names_and_duplicates_are_reported_together() {
    let names = ["logic.greet", "Logic.Greet", "logic.greet", "flow.x", "io.print"];
    let errors = NativeHost::new(names.map(|name| cbs::cell(name, nothing))).err().unwrap();
    assert!(
        matches!(
            errors.as_slice(),
            [HostError::BadName(_), HostError::Duplicate(_), HostError::BadName(_)]
        ),
        "{errors:?}"
    );
}

#[test]
fn a_cell_that_is_not_linked_in_is_said_with_what_is() {
    let host =
        NativeHost::new(["logic.greet", "io.print"].map(|name| cbs::cell(name, nothing))).unwrap();
    assert_eq!(host.check(&cell_spec("logic.greet", "")), Ok(()));
    let said = |name: &str| host.check(&cell_spec(name, "")).unwrap_err().to_string();
    assert_eq!(
        said("logic.great"),
        "no Rust cell `logic.great` is linked into this program; did you mean `logic.greet`? \
         Linked in: io.print, logic.greet"
    );
    assert!(
        said("shop.cart").ends_with("linked in: io.print, logic.greet"),
        "{}",
        said("shop.cart")
    );
    let empty = NativeHost::new([]).unwrap();
    assert!(
        empty
            .check(&cell_spec("shop.cart", ""))
            .unwrap_err()
            .to_string()
            .ends_with("none is linked in")
    );
}
