use std::sync::Arc;

use cbs::{BoxFuture, BusError, Envelope, Handler, Target};

use super::{Member, Registry};

struct Silent;

impl Handler for Silent {
    fn handle(&self, _: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(std::future::pending())
    }
}

fn member() -> Arc<Member> {
    Member::new(Arc::new(Silent))
}

fn target(number: usize) -> Target {
    format!("demo.cell{number}").parse().unwrap()
}

#[test]
fn each_of_many_targets_is_found_until_it_is_removed() {
    let registry = Registry::new();
    let members: Vec<_> = (0..2_000).map(|_| member()).collect();
    for (number, member) in members.iter().enumerate() {
        registry.add(&target(number), member.clone());
    }
    for (number, member) in members.iter().enumerate().step_by(2) {
        registry.remove(&target(number), member);
    }
    for number in 0..2_000 {
        let found = registry.find(&target(number));
        assert_eq!(
            found.map(|found| found.target.clone()),
            (number % 2 == 1).then(|| target(number))
        );
    }
}

#[test]
fn members_of_one_target_take_turns() {
    let registry = Registry::new();
    let all: Vec<_> = (0..3).map(|_| member()).collect();
    all.iter().for_each(|member| registry.add(&target(0), member.clone()));
    let members = registry.find(&target(0)).unwrap();
    let place =
        |member: &Arc<Member>| all.iter().position(|other| Arc::ptr_eq(other, member)).unwrap();
    let turns: Vec<Vec<_>> = (0..3).map(|_| members.rotation().map(place).collect()).collect();
    assert_eq!(turns, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
}

#[test]
fn removing_one_member_leaves_the_others() {
    let registry = Registry::new();
    let first = member();
    let second = member();
    registry.add(&target(0), first.clone());
    registry.add(&target(0), second.clone());
    registry.remove(&target(0), &first);
    let members = registry.find(&target(0)).unwrap();
    assert!(members.rotation().all(|left| Arc::ptr_eq(left, &second)));
    registry.remove(&target(0), &second);
    assert!(registry.find(&target(0)).is_none());
}
