//! Where this build's libpython is, for the linker and for all who make a program of this.

fn main() {
    pyo3_build_config::add_libpython_rpath_link_args();
    if let Some(folder) = &pyo3_build_config::get().lib_dir() {
        println!("cargo::metadata=library={folder}");
    }
}
