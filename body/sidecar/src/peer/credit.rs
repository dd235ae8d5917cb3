//! Credit: the number of bytes that one side may send before the other has taken them.
//!
//! The cost of a frame is its length, with the four bytes for it. A side that has any credit may
//! send one frame, and so use more than it has. So a frame larger than the whole window is never
//! stuck.

/// Credit of this side: the bytes that it may send.
pub(super) struct SendCredit(Option<i64>);

impl SendCredit {
    /// Returns the credit for this many bytes; 0: no limit.
    pub(super) fn new(credit: u64) -> Self {
        Self((credit > 0).then(|| signed(credit)))
    }

    pub(super) fn may_send(&self) -> bool {
        self.0.is_none_or(|credit| credit > 0)
    }

    /// Returns the credit that is left, 0 if more was used; `None`: no limit.
    pub(super) fn left(&self) -> Option<u64> {
        self.0.map(|credit| u64::try_from(credit).unwrap_or(0))
    }

    pub(super) fn spend(&mut self, cost: u64) {
        self.0 = self.0.map(|credit| credit.saturating_sub(signed(cost)));
    }

    pub(super) fn earn(&mut self, bytes: u64) {
        self.0 = self.0.map(|credit| credit.saturating_add(signed(bytes)));
    }
}

/// Credit of the other side, as this side counts it. It is never less than the other side's own
/// count, because credit counts here as soon as it is given.
pub(super) struct ReceiveCredit {
    /// Size of the window in bytes; 0: no limit.
    granted: u64,
    left: i64,
    /// Bytes that were handed on and not given back: credit goes back in portions of half a window.
    owed: u64,
}

impl ReceiveCredit {
    pub(super) fn new(granted: u64) -> Self {
        Self { granted, left: signed(granted), owed: 0 }
    }

    /// Takes the cost of a received frame. Returns false if the other side had no credit for it.
    pub(super) fn take(&mut self, cost: u64) -> bool {
        let had = self.granted == 0 || self.left > 0;
        self.left = self.left.saturating_sub(signed(cost));
        had
    }

    /// Counts a frame that was handed on. Returns the credit that goes back now, if any does.
    pub(super) fn give_back(&mut self, cost: u64) -> Option<u64> {
        if self.granted == 0 {
            return None;
        }
        self.owed = self.owed.saturating_add(cost);
        if self.owed < self.granted.div_ceil(2) {
            return None;
        }
        let portion = std::mem::take(&mut self.owed);
        self.left = self.left.saturating_add(signed(portion));
        Some(portion)
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_overdrawn_by_one_frame_and_goes_back_in_portions_of_half_a_window() {
        let mut send_credit = SendCredit::new(100);
        let mut window = ReceiveCredit::new(100);
        assert!(send_credit.may_send() && window.take(70));
        send_credit.spend(70);
        assert!(
            send_credit.may_send() && window.take(400),
            "30 are left: one more frame may be sent"
        );
        send_credit.spend(400);
        assert!(!send_credit.may_send() && !window.take(1), "and no other");
        assert_eq!(window.give_back(49), None);
        assert_eq!(window.give_back(21), Some(70));
        send_credit.earn(70);
        assert!(!send_credit.may_send());
        assert_eq!(window.give_back(401), Some(401));
        send_credit.earn(401);
        assert!(send_credit.may_send() && window.take(1));
    }

    #[test]
    fn no_limit_is_never_reached_and_never_given_back() {
        let mut send_credit = SendCredit::new(0);
        let mut window = ReceiveCredit::new(0);
        send_credit.spend(u64::MAX);
        assert!(send_credit.may_send() && window.take(u64::MAX) && window.take(1));
        assert_eq!(window.give_back(u64::MAX), None);
    }
}
