//! Life cycle of a cell in one body.

use std::fmt;

/// Phase of a cell's life cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Being started for the first time.
    #[default]
    Starting,
    /// Started and served: calls reach it.
    Ready,
    /// Being stopped: takes no new calls and answers those it has.
    Draining,
    /// It failed and is started again after a wait; it is not served.
    Restarting,
    /// It failed too often; it is tried again slowly and is not served.
    Failed,
    /// Stopped for good.
    Stopped,
}

impl Phase {
    /// All phases, in the order of a life.
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::Ready,
        Self::Draining,
        Self::Restarting,
        Self::Failed,
        Self::Stopped,
    ];

    /// The phase in lower case, as statistics and events have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Reads the text of a phase; `None` for any other text, for example of a newer program.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

impl fmt::Display for Phase {
    /// Writes the phase in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Phase;

    #[test]
    fn a_phase_is_read_from_its_text() {
        for phase in Phase::ALL {
            assert_eq!(Phase::read(&phase.to_string()), Some(phase));
        }
        assert_eq!(Phase::read("resting"), None);
    }
}
