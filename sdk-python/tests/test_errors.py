"""Errors as data."""

from __future__ import annotations

import copy
import pickle

import pytest

from cbs import CellError, Code, Outcome


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("bad-request", 400), ("refused", 403), ("not-found", 404), ("conflict", 409), ("too-large", 413),
        ("stock.empty", 422), ("overloaded", 429), ("cell-failed", 500), ("internal", 500), ("unavailable", 503),
        ("timeout", 504),
    ],
)  # fmt: skip
def test_a_code_has_its_status(code: str, status: int) -> None:
    assert CellError(code, "x").status == status


def test_an_error_is_the_same_after_it_crossed_the_wire() -> None:
    for error in (CellError(Code.CONFLICT, "no"), CellError("stock.empty", "no more tea", True, {"left": 0})):
        assert CellError.from_data(error.data()).data() == error.data()


def test_what_is_absent_takes_no_entry() -> None:
    assert CellError("conflict", "no").data() == {"code": "conflict", "message": "no"}
    assert CellError.from_data({"code": "conflict", "message": "no", "details": None}).data()["details"] is None


def test_fields_of_wrong_types_are_as_good_as_absent() -> None:
    error = CellError.from_data({"code": 7, "message": None, "retryable": "yes"})
    assert (error.code, error.message, error.retryable) == ("internal", "an error without a message", False)


def test_it_is_told_in_one_line() -> None:
    error = CellError("stock.empty", "no more tea", retryable=True)
    assert str(error) == "stock.empty: no more tea"
    assert repr(error) == "CellError('stock.empty', 'no more tea', retryable=True)"


def test_it_crosses_processes() -> None:
    error = CellError("stock.empty", "no more tea", True, {"left": 0})
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (again.data(), again.outcome) == (error.data(), error.outcome)


def test_a_timeouts_outcome_is_unknown() -> None:
    assert CellError("timeout", "x").outcome is Outcome.UNKNOWN
    assert CellError("conflict", "x").outcome is Outcome.RAN
