//! x
fn main() {
    let paths: Vec<_> = std::env::args().skip(1).map(Into::into).collect();
    match spec::load(&paths, &spec::Options::default()) { Ok(s) => println!("{s:#?}"), Err(e) => println!("{e}") }
}
