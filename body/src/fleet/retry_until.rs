//! Retries of a deployer while NATS does not answer: it restarts, a cluster elects a leader, a
//! connection is lost.
//!
//! Each step of a deploy may be carried out twice: it reads, or writes content under its hash, or
//! checks first whether the head is written already. So an error that may pass is retried, and
//! every other error ends the deploy at once.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::anyhow;
use bus_nats::{LinkState, Nats, store::StoreError};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

/// The wait before a step is tried again. An election takes seconds.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Part of the server's text when it denies the subscription to the inbox, where answers go.
const INBOX: &str = "Subscription to \"_INBOX";

/// Progress of a deploy, which also says what is known when it ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeployStage {
    /// No head was sent yet: whatever was written is in force nowhere.
    Content,
    /// The head of this number was sent, and perhaps the server has not answered.
    Head(u64),
}

impl DeployStage {
    /// Message while the step is retried.
    fn so_far(self) -> String {
        match self {
            Self::Content => "nothing is changed yet".to_owned(),
            Self::Head(number) => {
                format!("it is not known yet whether generation {number} is written")
            }
        }
    }

    /// Message when the deploy has ended early.
    fn at_last(self) -> String {
        match self {
            Self::Content => "nothing was changed, and `cbs deploy` again is safe".to_owned(),
            Self::Head(number) => format!(
                "it is not known whether generation {number} was written: `cbs history` shows it, and `cbs deploy` again is safe"
            ),
        }
    }
}

/// Deadline of retries, and where they are reported.
pub(crate) struct RetryUntil {
    nats: Nats,
    limit: Duration,
    until: Instant,
    report: fn(&str),
}

impl RetryUntil {
    /// Starts the time limit now. `report` gets a line when a step has to be retried.
    pub(crate) fn new(nats: Nats, limit: Duration, report: fn(&str)) -> Self {
        Self { nats, limit, until: Instant::now() + limit, report }
    }

    /// Carries out a step, and retries it while NATS does not answer.
    ///
    /// # Errors
    /// Those of the step. For an error of the store, the message says what is known of the head.
    pub(crate) async fn with<T>(
        &self,
        stage: DeployStage,
        mut step: impl AsyncFnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut link = self.nats.link();
        let mut denials = new_denials(&self.nats);
        let mut is_told = false;
        loop {
            let tried = tokio::select! {
                biased;
                tried = Box::pin(step()) => tried,
                // A request that the user's permissions deny is never answered.
                denied = denied(&mut denials) => Err(anyhow!(denied)),
                // A request on a lost connection is never answered.
                _ = link.wait_for(|state| *state == LinkState::Down) => Err(anyhow!(Lost)),
            };
            let error = match tried {
                Ok(done) => return Ok(done),
                // Silence is also the answer to what a user may not do: then the server has said so
                // besides.
                Err(error) if may_pass(&error) && denials.has_changed().unwrap_or_default() => {
                    return Err(ended(&anyhow!(denied(&mut denials).await), stage));
                }
                Err(error) if may_pass(&error) => error,
                Err(error) if error.is::<StoreError>() || error.is::<Denied>() => {
                    return Err(ended(&error, stage));
                }
                Err(error) => return Err(error),
            };
            if !is_told && Instant::now() < self.until {
                (self.report)(&format!(
                    "NATS does not answer; trying again, {}: {error:#}",
                    stage.so_far()
                ));
                is_told = true;
            }
            let again = async {
                sleep(AGAIN_AFTER).await;
                let _ = link.wait_for(|state| *state == LinkState::Up).await;
            };
            if timeout_at(self.until, again).await.is_err() {
                let error = error.context(format!("NATS did not answer within {:?}", self.limit));
                return Err(ended(&error, stage));
            }
        }
    }
}

/// The connection was lost while a step was under way.
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is lost")
    }
}

impl std::error::Error for Lost {}

/// The server denies a permission. The value is its message.
#[derive(Debug)]
struct Denied(Arc<str>);

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what) = self;
        // Answers go to the inbox: a user with the right to deploy may have another prefix for it.
        let hint = if what.contains(INBOX) {
            "give the inbox prefix that this user may use: --inbox-prefix or NATS_INBOX_PREFIX"
        } else {
            "run the command as a user with the permissions of a deployer"
        };
        write!(f, "the NATS server does not permit it: {what}; {hint}")
    }
}

impl std::error::Error for Denied {}

/// Carries out a request to the store once. A request that the user may not make is never answered:
/// it ends when the server denies it.
///
/// # Errors
/// Those of the request, or the server's denial.
pub(crate) async fn unless_denied<T, E: Into<anyhow::Error>>(
    nats: &Nats,
    request: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    let mut denials = new_denials(nats);
    tokio::select! {
        biased;
        done = request => done.map_err(Into::into),
        denied = denied(&mut denials) => Err(anyhow!(denied)),
    }
}

/// Returns a receiver of the denials from now on. A denial of the inbox holds as long as the
/// connection, which asks for it only once.
fn new_denials(nats: &Nats) -> watch::Receiver<Option<Arc<str>>> {
    let mut denials = nats.denials();
    if denials.borrow().as_deref().is_some_and(|what| what.contains(INBOX)) {
        denials.mark_changed();
    }
    denials
}

/// Returns when the server denies a permission.
async fn denied(denials: &mut watch::Receiver<Option<Arc<str>>>) -> Denied {
    loop {
        if denials.changed().await.is_err() {
            return std::future::pending().await;
        }
        if let Some(what) = denials.borrow_and_update().clone() {
            return Denied(what);
        }
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    error.is::<Lost>() || matches!(error.downcast_ref(), Some(StoreError::Unavailable { .. }))
}

fn ended(error: &anyhow::Error, stage: DeployStage) -> anyhow::Error {
    anyhow!("{error:#}; {}", stage.at_last())
}

#[cfg(test)]
#[path = "retry_until_tests.rs"]
mod tests;
