//! The order of the steps of a flow.

use std::collections::VecDeque;

use crate::{Flow, PathPart, Problem, expression::Mistake, suggest, template::below};

/// Order of a flow's steps, as indexes.
pub(super) struct Order {
    /// For each step, the steps in its `needs`, or the step above; ascending.
    pub(super) needs: Vec<Vec<usize>>,
    /// For each step, all steps that are done before it; ascending.
    pub(super) before: Vec<Vec<usize>>,
}

impl Order {
    /// Finds the order, as far as the mistakes allow it.
    pub(super) fn new(flow: &Flow, problems: &mut Vec<Problem>) -> Self {
        let mut is_broken = vec![false; flow.steps.len()];
        let mut needs_of = |(index, is_broken): (usize, &mut bool)| {
            let so_far = problems.len();
            let needs = needs(flow, index, problems);
            *is_broken = problems.len() > so_far;
            needs
        };
        let needs: Vec<Vec<usize>> = is_broken.iter_mut().enumerate().map(&mut needs_of).collect();
        let order = sorted(&needs);
        if order.len() < needs.len() {
            problems.push(cycle(flow, &needs, &order));
        }
        // If the order itself is wrong, a step may read any other: one mistake is reported once.
        let others = |index: usize| (0..needs.len()).filter(|other| *other != index).collect();
        let mut before: Vec<Vec<usize>> = (0..needs.len()).map(others).collect();
        for index in order.into_iter().filter(|index| is_broken.get(*index) == Some(&false)) {
            let direct = needs.get(index).map_or(&[][..], Vec::as_slice);
            let mut all: Vec<usize> = direct.to_vec();
            all.extend(direct.iter().filter_map(|need| before.get(*need)).flatten());
            all.sort_unstable();
            all.dedup();
            if let Some(slot) = before.get_mut(index) {
                *slot = all;
            }
        }
        Self { needs, before }
    }
}

fn needs(flow: &Flow, index: usize, problems: &mut Vec<Problem>) -> Vec<usize> {
    let Some(step) = flow.steps.get(index) else { return Vec::new() };
    let Some(ids) = &step.needs else { return index.checked_sub(1).into_iter().collect() };
    let mut found = Vec::new();
    for (at, id) in ids.iter().enumerate() {
        let place = || below(&super::check::place(index, "needs"), PathPart::Index(at));
        match flow.steps.iter().position(|step| step.id == *id) {
            Some(need) if need == index => {
                let mistake = Mistake::new("flow-needs", format!("the step `{id}` needs itself"));
                problems.push(mistake.hint("leave it out").at(&place()));
            }
            Some(need) => found.push(need),
            None => {
                let others = flow
                    .steps
                    .iter()
                    .map(|step| step.id.as_str())
                    .filter(|other| *other != step.id);
                let mistake = Mistake::new("flow-needs", format!("there is no step `{id}`"));
                problems.push(mistake.hint(suggest::hint(id, others)).at(&place()));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns the steps in an order in which each comes after those it needs. Steps of cycles are left
/// out.
fn sorted(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let next = dependents(needs);
    let mut ready: VecDeque<usize> =
        (0..needs.len()).filter(|index| missing.get(*index) == Some(&0)).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(index) = ready.pop_front() {
        order.push(index);
        for after in next.get(index).into_iter().flatten() {
            if let Some(count) = missing.get_mut(*after) {
                *count -= 1;
                if *count == 0 {
                    ready.push_back(*after);
                }
            }
        }
    }
    order
}

/// The steps that wait for each step.
pub(super) fn dependents(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (index, needs) in needs.iter().enumerate() {
        for need in needs {
            if let Some(after) = next.get_mut(*need) {
                after.push(index);
            }
        }
    }
    next
}

/// Names one cycle among the steps that could not be sorted, from the step written first.
fn cycle(flow: &Flow, needs: &[Vec<usize>], sorted: &[usize]) -> Problem {
    let mut is_open = vec![true; needs.len()];
    for index in sorted {
        if let Some(open) = is_open.get_mut(*index) {
            *open = false;
        }
    }
    // Every open step needs an open step, so following them comes to one already seen.
    let mut seen: Vec<usize> = Vec::new();
    let mut at = is_open.iter().position(|open| *open).unwrap_or(0);
    while !seen.contains(&at) {
        seen.push(at);
        let open = |need: &&usize| is_open.get(**need) == Some(&true);
        at = needs.get(at).and_then(|needs| needs.iter().find(open)).copied().unwrap_or(at);
    }
    let mut round: Vec<usize> = seen.into_iter().skip_while(|step| *step != at).collect();
    let first =
        round.iter().enumerate().min_by_key(|(_, step)| **step).map_or(0, |(place, _)| place);
    round.rotate_left(first);
    let start = round.first().copied().unwrap_or(0);
    round.push(start);
    let ids = round
        .iter()
        .filter_map(|index| flow.steps.get(*index))
        .map(|step| format!("`{}`", step.id));
    let message = format!("steps wait for each other: {}", ids.collect::<Vec<_>>().join(" needs "));
    let mistake = Mistake::new("flow-cycle", message)
        .hint("take one of them out of a `needs`; `needs: []` waits for nothing");
    mistake.at(&super::check::place(start, "needs"))
}
