//! One list of calls at all distances.

use super::{
    Stage,
    exchange::{errors, play, replies},
};

/// Runs one list of calls on every stage and compares. Handlers and callers see the same, except
/// the distance, the body that answered, and the time that remains. The names of the stages are for
/// the message.
///
/// # Panics
/// If two stages differ, with the first difference.
pub async fn compare(stages: &[(&str, Stage)]) {
    for exchanges in [replies(), errors()] {
        let mut first: Option<(&str, Vec<_>)> = None;
        for (name, stage) in stages {
            let seen = play(stage, &exchanges).await;
            let Some((first_name, expected)) = &first else {
                first = Some((name, seen));
                continue;
            };
            for ((exchange, here), there) in exchanges.iter().zip(&seen).zip(expected) {
                assert_eq!(here, there, "{}: left is {name}, right is {first_name}", exchange.name);
            }
        }
    }
}
