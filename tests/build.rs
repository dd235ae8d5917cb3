//! The stories' body finds the libpython that it was built with.

use std::env;

fn main() {
    if let Ok(folder) = env::var("DEP_CBS_BODY_LIBRARY") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
