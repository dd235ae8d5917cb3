//! Specs from the outside: what is accepted, what is found wrong, and where.

mod demo;
mod flows;
mod folders;
mod mistakes;
mod properties;
mod render;
mod schemas;
mod support;
mod values;
mod yaml;
