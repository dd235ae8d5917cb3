//! The project's rules, one module for each kind. A broken rule fails with its sentence and every
//! place where it is broken.

#[cfg(test)]
mod crates;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod language;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod musts;
#[cfg(test)]
mod readers;
#[cfg(test)]
mod sizes;
#[cfg(test)]
mod words;

/// Result of every rule: to read the tree may fail too.
#[cfg(test)]
type Checked = Result<(), Box<dyn std::error::Error>>;

/// A broken rule. Test runners show an error by its `Debug`, so that is written for people.
#[cfg(test)]
struct Broken {
    rule: String,
    places: Vec<String>,
}

#[cfg(test)]
impl std::fmt::Debug for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n  {}\n", self.rule, self.places.join("\n  "))
    }
}

#[cfg(test)]
impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
impl std::error::Error for Broken {}

#[cfg(test)]
fn hold(rule: &str, places: &[String]) -> Checked {
    if places.is_empty() {
        return Ok(());
    }
    Err(Box::new(Broken { rule: rule.to_owned(), places: places.to_vec() }))
}
