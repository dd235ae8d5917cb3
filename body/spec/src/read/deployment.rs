//! Deployment of a cell or a flow: the fields that a fleet reads.

use std::collections::BTreeMap;

use model::{CanaryRules, Deployment, Replicas, Rollout};

use super::{
    fields::{Fields, shown},
    item::Item,
    shape::{CANARY, ROLLOUT, STRATEGIES},
};
use crate::{bounds, code, units, yaml::Content};

/// The word for every body that can run it.
pub(crate) const ALL: &str = "all";

/// Reads the deployment of a cell. Fields that are not given have their defaults.
pub(super) fn of_cell(fields: &Fields<'_>) -> Deployment {
    let read = read(fields, Deployment::default());
    Deployment { rollout: fields.get("rollout").and_then(rollout).unwrap_or(read.rollout), ..read }
}

/// Reads the deployment of a flow, which has no `rollout`.
pub(super) fn of_flow(fields: &Fields<'_>) -> Deployment {
    read(fields, Deployment::of_flow())
}

fn read(fields: &Fields<'_>, default: Deployment) -> Deployment {
    Deployment {
        replicas: fields.get("replicas").and_then(replicas).unwrap_or(default.replicas),
        spread: fields.get("spread").and_then(label).map(str::to_owned),
        placement: fields.get("place").and_then(placement).unwrap_or_default(),
        rollout: default.rollout,
        enabled: fields.get("enabled").and_then(Item::flag).unwrap_or(default.enabled),
    }
}

/// A number, or `all`.
fn replicas(item: Item<'_>) -> Option<Replicas> {
    match &item.node.content {
        Content::Number(_) => {
            let count = item.count(&bounds::REPLICAS)?;
            u32::try_from(count).ok().map(Replicas::Count)
        }
        Content::Text(text) if text == ALL => Some(Replicas::All),
        Content::Text(text) => {
            let message =
                format!("`replicas` must be a whole number or `all`, not `{}`", shown(text));
            let number = text.parse::<u64>().is_ok();
            let hint = if number {
                format!("write it without quotes: {text}")
            } else {
                "for example `replicas: 2`".to_owned()
            };
            item.report(code::BAD_VALUE, message, Some(hint))
        }
        _ => item.wrong_type("a whole number or `all`"),
    }
}

/// Reads the key or value of a body's label.
fn label(item: Item<'_>) -> Option<&str> {
    let text = item.text()?;
    if is_label(text) {
        return Some(text);
    }
    let hint = format!(
        "from 1 to {} bytes, no control characters: what `cbs up --label` takes",
        bounds::LABEL_BYTES_MAX
    );
    item.report(
        code::OUT_OF_RANGE,
        format!("`{}` can be no label of a body", shown(text)),
        Some(hint),
    )
}

fn is_label(text: &str) -> bool {
    (1..=bounds::LABEL_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn placement(item: Item<'_>) -> Option<BTreeMap<String, String>> {
    let placement = item.text_map()?;
    for entry in item.node.entries() {
        let value = Item { name: &entry.key, node: &entry.value, findings: item.findings };
        if !is_label(&entry.key) {
            let hint = "`cbs up --label key=value` says which labels a body has".to_owned();
            item.findings.add(
                entry.key_span,
                code::OUT_OF_RANGE,
                "no key of a label".to_owned(),
                hint,
            );
        }
        if let Content::Text(_) = entry.value.content {
            label(value);
        }
    }
    if placement.len() > bounds::PLACE_LABELS_MAX {
        let message = format!("`place` has more than {} labels", bounds::PLACE_LABELS_MAX);
        return item.report(code::OUT_OF_RANGE, message, None);
    }
    Some(placement)
}

/// `{ strategy: recreate }` or `{ canary: { share: 10% } }`.
fn rollout(item: Item<'_>) -> Option<Rollout> {
    const HINT: &str =
        "write `rollout: { strategy: recreate }`, or `rollout: { canary: { share: 10% } }`";
    if let Content::Text(text) = &item.node.content
        && STRATEGIES.contains(&text.as_str())
    {
        let hint = format!("write `rollout: {{ strategy: {text} }}`");
        return item.report(
            code::WRONG_TYPE,
            "`rollout` must be a map, not a text".to_owned(),
            Some(hint),
        );
    }
    let fields = Fields::open(item, &ROLLOUT)?;
    match (fields.get("strategy"), fields.get("canary")) {
        (Some(_), Some(_)) => {
            let message = "`strategy` and `canary` exclude each other".to_owned();
            fields.report(
                fields.key_span("canary"),
                code::CONFLICT,
                message,
                Some("keep one".to_owned()),
            );
            None
        }
        (Some(strategy), None) => Some(if strategy.word(STRATEGIES)? == "recreate" {
            Rollout::Recreate
        } else {
            Rollout::Rolling
        }),
        (None, Some(rules)) => canary(rules).map(Rollout::Canary),
        (None, None) => {
            fields.miss("`rollout` needs the field `strategy` or `canary`".to_owned(), HINT);
            None
        }
    }
}

fn canary(item: Item<'_>) -> Option<CanaryRules> {
    let fields = Fields::open(item, &CANARY)?;
    let percent = |name, range| fields.get(name).and_then(|item| percent(item, range));
    let share = fields.need("share", "say how many of the calls it gets, for example `share: 10%`");
    let share = share.and_then(|item| self::percent(item, &bounds::SHARE));
    let calls = fields.get("calls").and_then(|item| item.count(&bounds::CANARY_CALLS));
    let after = fields.get("after").and_then(Item::duration);
    let errors = percent("errors", &bounds::ERRORS).and_then(|it| u8::try_from(it).ok());
    let slower = percent("slower", &bounds::SLOWER);
    let default = CanaryRules::share(u8::try_from(share?).ok()?);
    let after_ms = after.and_then(|after| u64::try_from(after.as_millis()).ok());
    Some(CanaryRules {
        calls_min: calls.unwrap_or(default.calls_min),
        after_ms: after_ms.unwrap_or(default.after_ms),
        errors_more_max: errors.unwrap_or(default.errors_more_max),
        slower_max: slower.unwrap_or(default.slower_max),
        ..default
    })
}

/// `10%`.
fn percent(item: Item<'_>, range: &std::ops::RangeInclusive<u64>) -> Option<u32> {
    if let Content::Number(number) = &item.node.content {
        let message = format!("`{}` must be a percentage such as `10%`", item.name);
        return item.report(code::BAD_VALUE, message, Some(format!("write `{number}%`")));
    }
    let text = item.text()?;
    let Some(percent) = units::percent(text) else {
        let message = format!("`{}` is no percentage", shown(text));
        return item.report(
            code::BAD_VALUE,
            message,
            Some("write a whole number and `%`, for example `10%`".to_owned()),
        );
    };
    item.inside(percent, text, range).and_then(|percent| u32::try_from(percent).ok())
}
