//! The rules of the protocol, one test each.

#[cfg(test)]
mod content;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod presence;
#[cfg(test)]
mod rollouts;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod where_it_runs;
