"""Names, subjects and filters against the vectors that all languages share."""

from __future__ import annotations

from typing import Any

import pytest

from cbs import _names as names

import vectors

_NAMES = vectors.read("names.json")["names"]
_SUBJECTS = vectors.read("subjects.json")


def accepts(kind: str, text: str) -> bool:
    """Whether a text is a name, or a target, of a kind."""
    if kind != "target":
        return names.is_name(kind, text)
    try:
        names.target_of(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("kind", _NAMES, ids=lambda kind: str(kind["kind"]))
def test_a_name_is_what_the_vectors_say(kind: dict[str, Any]) -> None:
    assert [text for text in kind["valid"] if not accepts(kind["kind"], text)] == []
    assert [text for text in kind["invalid"] if accepts(kind["kind"], text)] == []


@pytest.mark.parametrize("vector", _SUBJECTS["subjects"], ids=lambda vector: str(vector["subject"]))
def test_a_target_is_where_the_vectors_say(vector: dict[str, Any]) -> None:
    namespace, target, body = vector["namespace"], vector.get("target", ""), vector.get("body", "")
    match vector["of"]:
        case "target":
            assert names.subject_of(namespace, target) == vector["subject"]
            assert names.group_of(target) == vector.get("group")
        case "events":
            assert names.subject_of_events(namespace, vector["filter"]) == vector["subject"]
        case "cell-in-body":
            cell = target.removeprefix("cell ")
            assert names.subject_of_cell_in_body(namespace, body, cell) == vector["subject"]
        case "cells-in-body":
            assert names.subject_of_cells_in_body(namespace, body) == vector["subject"]
        case "barrier":
            assert names.subject_of_barrier(namespace, body) == vector["subject"]
        case "control":
            assert names.subject_of_control(namespace, body) == vector["subject"]
        case other:
            pytest.fail(f"the vectors have a subject of {other}, which these tests do not know")


def test_a_filter_hears_what_the_vectors_say() -> None:
    wrong = [m for m in _SUBJECTS["matches"] if names.hears(m["filter"], m["topic"]) is not m["hears"]]
    assert wrong == []


def test_a_name_that_is_none_says_the_rule() -> None:
    with pytest.raises(ValueError, match=r"`Greet` is no cell name: write `organ\.cell`, for example `logic\.greet`"):
        names.checked("cell", "Greet")
