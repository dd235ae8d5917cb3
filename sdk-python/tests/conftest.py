"""Async tests run on a loop of their own, with a limit; the server is started once."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Iterator
from typing import Any

import pytest

from server import Server
from vectors import ROOT

# For the programs that tests start.
os.environ["PYTHONPATH"] = str(ROOT / "sdk-python" / "src")

_LIMIT = 30.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Run an ``async def`` test to its end."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    names = inspect.signature(test).parameters
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}
    asyncio.run(asyncio.wait_for(test(**arguments), _LIMIT))
    return True


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """A server that all tests share: each uses a namespace of its own."""
    with Server() as server:
        yield server.url
