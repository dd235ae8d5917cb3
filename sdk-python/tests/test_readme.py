"""README.md's examples and the folder `examples/`, run as they stand."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cbs
from cbs.testing import TestBody
from serving import serving

from vectors import ROOT

_SDK = ROOT / "sdk-python"
_BLOCK = re.compile(r"```python\n# (\S+)\n(.*?)```", re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """README.md's files."""
    text = (_SDK / "README.md").read_text(encoding="utf-8")
    blocks = _BLOCK.findall(text)
    assert len(blocks) == text.count("```python")
    for name, code in blocks:
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name, _ in blocks:
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    return tmp_path


async def test_the_readmes_cells_do_what_it_says(folder: Path) -> None:
    import greet  # type: ignore[import-not-found]
    import prices  # type: ignore[import-not-found]
    import shop
    import stock  # type: ignore[import-not-found]
    import store  # type: ignore[import-not-found]
    import timed  # type: ignore[import-not-found]

    assert await greet.greet(greet.Name("Ada")) == {"text": "Hello, Ada!"}
    async with TestBody(greet, prices, shop, stock, store, timed) as body:
        assert await body.call("logic.greet", {"name": "Ada"}) == {"text": "Hello, Ada!"}
        assert await body.call("shop.place", {"sku": "tea"}) == {"left": 0}
        with pytest.raises(cbs.CellError, match=r"stock\.empty: no more tea"):
            await body.call("shop.place", {"sku": "tea"})
        assert [await body.call("logic.seen", "Ada") for _ in range(2)] == [1, 2]
        assert await body.call("logic.double", 21) == 42
        assert [await body.call("shop.price", sku) for sku in ("tea", "milk")] == [3.5, None]
        told = [(span.attributes, span.events) for span in body.spans("shop.price")]
        assert told == [({"sku": "tea"}, []), ({"sku": "milk"}, [("no price", {"known": "1"})])]


def test_the_readmes_tests_pass(folder: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_shop.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


async def run(program: Path, url: str, namespace: str) -> str:
    """What a program prints; it must print nothing else, and end well."""
    environment = {**os.environ, "NATS_URL": url, "CBS_NAMESPACE": namespace}
    started = await asyncio.create_subprocess_exec(
        *[sys.executable, "-W", "error", str(program)],
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(started.communicate(), 20)
    assert (started.returncode, err) == (0, b"")
    return out.decode()


async def test_the_readmes_client_talks_to_the_readmes_cell(nats_url: str, folder: Path) -> None:
    import greet

    client = folder / "client.py"
    text = client.read_text(encoding="utf-8")
    client.write_text(text.replace('namespace="default"', ""), encoding="utf-8")
    async with serving(nats_url, greet) as served:
        out = await run(client, nats_url, served.namespace)
    assert out == "{'text': 'Hello, Ada!'}\norder.placed {'sku': 'tea'}\n"


async def test_the_examples_run(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(_SDK / "examples")
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    import shop

    async with serving(nats_url, shop) as served:
        out = await run(_SDK / "examples" / "client.py", nats_url, served.namespace)
    assert out.splitlines() == [
        *[line for left in (2, 1, 0) for line in (f"{{'left': {left}}}", "{'sku': 'tea', 'count': 1}")],
        "stock.empty: no more tea",
    ]
    monkeypatch.delitem(sys.modules, "shop", raising=False)


def test_the_readme_shows_how_spans_of_opentelemetry_belong_to_the_trace() -> None:
    # No dependency of these tests: what is shown is Python, and uses what a context has.
    text = (_SDK / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```py\n(.*?)```", text, re.DOTALL)
    compile(code, "README.md", "exec")
    assert '{"traceparent": ctx.traceparent}' in code
    assert hasattr(cbs.Context, "traceparent")
