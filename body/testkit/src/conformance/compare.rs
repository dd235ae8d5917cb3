//! One list of calls at all distances.

use super::{
    Stage,
    exchange::{errors, play, replies},
};

/// Plays one list of calls on every stage and compares: what handlers see and what callers get is the same,
/// but for the distance, the body that answered, and the time that remains. Stages have names for the message.
///
/// # Panics
/// When two stages differ, with the first difference.
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
