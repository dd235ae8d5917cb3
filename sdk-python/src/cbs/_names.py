"""Names and subjects: what a cell, a flow, a namespace, a topic and a body may be called, and where NATS has them.

Every rule is held to `specs/vectors/names.json` and `subjects.json`, which all languages read.
"""

from __future__ import annotations

import re

PART_BYTES_MAX = 63
TOPIC_PARTS_MAX = 8
CELL_GROUP = "cell"
FLOW_GROUP = "flow"

_PART = r"[a-z][a-z0-9_-]{0,62}"
_CELL = re.compile(rf"(?!flow\.){_PART}\.{_PART}", re.ASCII)
_FLOW = re.compile(_PART, re.ASCII)
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_TOPIC = re.compile(rf"{_PART}(?:\.{_PART}){{0,7}}", re.ASCII)
_FILTER_PART = rf"(?:\*|{_PART})"
_FILTER = re.compile(rf"(?:{_FILTER_PART}\.){{0,7}}(?:>|{_FILTER_PART})", re.ASCII)
_BODY = re.compile(r"[a-z0-9_][a-z0-9_-]{0,62}", re.ASCII)

_RULES: dict[str, tuple[re.Pattern[str], str, str]] = {
    "cell": (
        _CELL,
        "cell name",
        "write `organ.cell`, for example `logic.greet`: two parts of a-z, 0-9, `_` and `-` that start with a letter, "
        "at most 63 bytes each, and the organ is not `flow`",
    ),
    "flow": (
        _FLOW,
        "flow name",
        "write one part of a-z, 0-9, `_` and `-` that starts with a letter, at most 63 bytes, for example `greeting`",
    ),
    "namespace": (
        _NAMESPACE,
        "namespace",
        "write a DNS label: a-z, 0-9 and inner `-`, at most 63 bytes, for example `default` or `demo-x7f2`",
    ),
    "topic": (
        _TOPIC,
        "topic",
        "write one to eight parts joined by dots, each of a-z, 0-9, `_` and `-` and starting with a letter, "
        "for example `order.created`",
    ),
    "topic-filter": (
        _FILTER,
        "topic filter",
        "write a topic in which `*` stands for one part and a last `>` for the rest, for example `order.*` or "
        "`order.>`",
    ),
    "body": (
        _BODY,
        "body id",
        "write a-z, 0-9, `_` and `-`, at most 63 bytes, for example `web1-7f3a91`",
    ),
}


def is_name(kind: str, text: str) -> bool:
    """Whether a text is a name of this kind: ``cell``, ``flow``, ``namespace``, ``topic-filter`` and so on."""
    pattern, _, _ = _RULES[kind]
    return pattern.fullmatch(text) is not None


def checked(kind: str, text: str) -> str:
    """Return the text, or raise a ValueError that says which rule it breaks."""
    pattern, what, rule = _RULES[kind]
    if pattern.fullmatch(text) is None:
        raise ValueError(f"`{text[:80]}` is no {what}: {rule}")
    return text


def target_of(text: str) -> str:
    """Return a target in its full form (``cell logic.greet``): a text without a kind is a cell's name.

    Raises ValueError for what is no target.
    """
    kind, space, name = text.partition(" ")
    if space and kind in {"cell", "flow", "topic"}:
        checked(kind, name)
        return text
    return "cell " + checked("cell", text)


def subject_of(namespace: str, target: str) -> str:
    """Return the subject of a target in its full form: ``cbs.<ns>.cell.<organ>.<cell>`` and so on."""
    kind, _, name = target.partition(" ")
    return f"cbs.{namespace}.{'event' if kind == 'topic' else kind}.{name}"


def group_of(target: str) -> str | None:
    """Return the queue group that the servers of a target share; none for events."""
    kind, _, _ = target.partition(" ")
    return {"cell": CELL_GROUP, "flow": FLOW_GROUP}.get(kind)


def subject_of_events(namespace: str, topic_filter: str) -> str:
    """Return what a subscription to events listens on."""
    return f"cbs.{namespace}.event.{topic_filter}"


def subject_of_cell_in_body(namespace: str, body: str, cell: str) -> str:
    """Return the cell in that one body, past the queue group."""
    return f"cbs.{namespace}.body.{body}.cell.{cell}"


def subject_of_cells_in_body(namespace: str, body: str) -> str:
    """Return the one subscription that serves all of `subject_of_cell_in_body`."""
    return f"cbs.{namespace}.body.{body}.cell.*.*"


def subject_of_barrier(namespace: str, body: str) -> str:
    """Return the subject of the body's own round trips, which one of its connections answers for the other."""
    return f"cbs.{namespace}.body.{body}.barrier"


def subject_of_control(namespace: str, body: str) -> str:
    """Return where questions to the body itself go."""
    return f"cbs.{namespace}.body.{body}.ctl"


def hears(topic_filter: str, topic: str) -> bool:
    """Whether a subscription with this filter hears an event on this topic, by NATS' own rules."""
    parts = topic.split(".")
    wanted = topic_filter.split(".")
    for index, want in enumerate(wanted):
        if want == ">":
            return index < len(parts)
        if index >= len(parts) or want not in {"*", parts[index]}:
            return False
    return len(parts) == len(wanted)
