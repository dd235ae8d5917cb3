//! Tells the linker where this build's libpython is, so that the program finds it and no other, and
//! passes it on: whoever makes a program of the body says the same.

use std::env;

fn main() {
    if let Ok(folder) = env::var("DEP_CBS_HOST_PYTHON_LIBRARY") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
        println!("cargo::metadata=library={folder}");
    }
}
