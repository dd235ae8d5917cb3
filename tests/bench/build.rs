//! Passes the compiler's version to the program: figures of two compilers cannot be compared.

use std::{env, process::Command};

fn main() {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let reported = Command::new(compiler).arg("--version").output();
    let version =
        reported.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    #[allow(clippy::print_stdout, reason = "so a build script speaks to cargo")]
    {
        println!("cargo::rustc-env=BENCH_RUSTC={}", version.trim());
        println!("cargo::rerun-if-changed=build.rs");
        // The program finds the libpython that the body was built with.
        if let Ok(folder) = env::var("DEP_CBS_BODY_LIBRARY") {
            println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
        }
    }
}
