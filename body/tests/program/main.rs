//! Stories of the whole program `cbs`: help, exit status, signals, messages.

mod arguments;
mod check;
mod new;
mod support;
