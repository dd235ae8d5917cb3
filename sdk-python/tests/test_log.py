"""Python's logging within calls: ids for people, fields for the body."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import cbs
from cbs._log import TEXT_MAX, BodyHandler, Ids, shortened
from cbs.testing import TestBody


class Port:
    """A port that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, int, str, str, dict[str, str]]] = []

    def log(self, info: Any, level: int, logger: str, message: str, fields: Mapping[str, str]) -> None:
        self.lines.append((info, level, logger, message, dict(fields)))


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was again afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


async def test_records_go_to_the_body_with_their_call(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    lane, call = Port(), Port()
    root.addHandler(BodyHandler(lane))  # type: ignore[arg-type]
    root.setLevel(logging.INFO)
    monkeypatch.setattr("cbs.testing._Port.log", lambda _, *line: call.log(*line))

    @cbs.cell("logic.logs")
    async def logs(ctx: cbs.Context) -> str:
        ctx.log.info("through the context: %d", 1, extra={"sku": "tea", "count": 2})
        logging.getLogger("mine").warning("through logging")
        try:
            os.environ["CBS_MISSING"]
        except KeyError:
            logging.getLogger("mine").exception("with a traceback")
        return ctx.id

    async with TestBody(logs) as body:
        identity = await body.call("logic.logs")
    logging.getLogger("mine").error("outside of calls")
    assert [(line[0].id, *line[1:4]) for line in call.lines] == [
        (identity, logging.INFO, "logic.logs", "through the context: 1"),
        (identity, logging.WARNING, "mine", "through logging"),
        (identity, logging.ERROR, "mine", "with a traceback"),
    ]
    assert [line[4].keys() for line in call.lines] == [{"sku", "count"}, set(), {"exception"}]
    assert call.lines[0][4] == {"sku": "tea", "count": "2"}
    assert "KeyError: 'CBS_MISSING'" in call.lines[2][4]["exception"]
    assert lane.lines == [(None, logging.ERROR, "mine", "outside of calls", {})]


@pytest.fixture
def identified(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Captured records, after the filter that formatters use; pytest has one handler for all tests."""
    ids = Ids()
    caplog.handler.addFilter(ids)
    yield caplog
    caplog.handler.removeFilter(ids)


async def test_every_record_of_a_call_carries_its_ids(identified: pytest.LogCaptureFixture) -> None:

    @cbs.cell("logic.logs")
    def logs(ctx: cbs.Context) -> str:
        logging.getLogger("mine").warning("on a thread")
        return ctx.correlation_id

    async with TestBody(logs) as body:
        identity = await body.call("logic.logs")
    logging.getLogger("mine").warning("outside of calls")
    ids = [(record.__dict__["cbs_cell"], record.__dict__["cbs_correlation_id"]) for record in identified.records]
    assert ids == [("logic.logs", identity), ("", "")]
    traces = [record.__dict__["cbs_trace_id"] for record in identified.records]
    assert traces == [identity.replace("-", ""), ""]


async def test_the_contexts_log_has_the_ids_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    @cbs.cell("logic.logs")
    async def logs(ctx: cbs.Context) -> str:
        ctx.log.warning("through the context", extra={"sku": "tea"})
        return ctx.id

    async with TestBody(logs) as body:
        identity = await body.call("logic.logs")
    (record,) = caplog.records
    assert (record.name, record.__dict__["cbs_id"], record.__dict__["sku"]) == ("logic.logs", identity, "tea")


def test_a_line_that_cannot_be_written_fails_nothing(root: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    root.addHandler(BodyHandler(Port()))  # type: ignore[arg-type]
    handler = root.handlers[-1]
    handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("text",)}))
    assert "--- Logging error ---" in capfd.readouterr().err


def test_a_text_that_is_too_long_loses_its_middle() -> None:
    assert shortened("x" * TEXT_MAX) == "x" * TEXT_MAX
    cut = shortened("begins " + "x" * 5_000_000 + " ends")
    assert len(cut) < TEXT_MAX + 100
    assert (cut[:6], cut[-4:]) == ("begins", "ends")
    assert "(4991820 characters left out)" in cut
