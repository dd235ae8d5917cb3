//! The program `cbs`: the body with the greeting's cells linked in.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    body::main_with(body::greeting_cells())
}
