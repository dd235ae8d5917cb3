"""Errors as data."""

from __future__ import annotations

import copy
import pickle

import pytest

from cbs import CellError, Code, Outcome
from cbs._message import read_reply

import vectors

_VECTORS = vectors.read("errors.json")


def test_codes_are_those_of_all_languages() -> None:
    assert [code.value for code in Code] == [entry["code"] for entry in _VECTORS["codes"]]


@pytest.mark.parametrize(
    ("code", "status"),
    [*((entry["code"], entry["status"]) for entry in _VECTORS["codes"]), ("stock.empty", _VECTORS["domain"])],
)
def test_a_code_has_its_status(code: str, status: int) -> None:
    assert CellError(code, "x").status == status


@pytest.mark.parametrize(
    ("status", "code"),
    [*((str(entry["status"]), entry["code"]) for entry in _VECTORS["statuses"]), ("418", "service.418")],
)
def test_a_status_of_another_service_has_its_code(status: str, code: str) -> None:
    with pytest.raises(CellError) as raised:
        read_reply(b"", {"Nats-Service-Error-Code": status})
    assert raised.value.code == code


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
