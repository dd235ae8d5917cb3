"""The program `cbs-python`, as a process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import cbs

_CELLS = """
import asyncio
import threading
import cbs

@cbs.start
def started():
    print("started", flush=True)

@cbs.stop
def stopped():
    print("stopped", flush=True)

@cbs.cell("logic.greet")
async def greet(input: dict[str, str], ctx: cbs.Context) -> dict[str, str]:
    await ctx.print(f"greeting {input['name']}")
    return {"text": f"Hello, {input['name']}!"}

@cbs.cell("logic.slow")
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)  # sleep: work that takes a while
    return "answered"

@cbs.cell("logic.leaves")
async def leaves() -> str:
    async def leave() -> None:
        raise SystemExit(3)

    asyncio.get_running_loop().create_task(leave())
    await asyncio.sleep(0)
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)
    return "still here"

@cbs.cell("logic.stuck")
def stuck() -> None:
    threading.Event().wait(60)
"""

PROGRAM = [sys.executable, "-W", "error", "-m", "cbs._program"]


@asynccontextmanager
async def running(folder: Path, url: str, *more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program while it serves; it is ended by its id."""
    (folder / "greet.py").write_text(_CELLS, encoding="utf-8")
    command = [*PROGRAM, "run", *(more or ("greet.py",)), "--nats", url, "--namespace", folder.name.replace("_", "-")]
    program = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert program.stderr is not None
    line = (await asyncio.wait_for(program.stderr.readline(), 20)).decode()
    assert line.startswith("serving logic."), line
    try:
        yield program
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name is a namespace."""
    made = tmp_path / f"n{abs(hash(tmp_path)) % 10**9}"
    made.mkdir()
    return made


_PROCESSES = """
import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import cbs

def square(number):
    return number * number

@cbs.cell("logic.greet")
def squares(method: str) -> list[int]:
    context = multiprocessing.get_context(method)
    lingering = context.Process(target=time.sleep, args=(60,))
    lingering.start()
    lingering.terminate()
    lingering.join()
    with context.Pool(2) as pool:
        found = pool.map(square, [1, 2])
    with ProcessPoolExecutor(1, context) as executor:
        return found + list(executor.map(square, [3]))

@cbs.cell("logic.double")
async def double(number: int) -> int:
    return 2 * number

@cbs.cell("logic.threads")
async def threads(ctx: cbs.Context) -> bool:
    with ThreadPoolExecutor(1) as pool:
        twice = asyncio.get_running_loop().run_in_executor(pool, lambda: cbs.current().call_sync("logic.double", 3))
        return await twice == 6 and await asyncio.wrap_future(pool.submit(lambda: cbs.current().id)) == ctx.id
"""


async def test_cells_start_threads_and_processes(nats_url: str, folder: Path) -> None:
    cells = folder / "work.py"
    cells.write_text(_PROCESSES, encoding="utf-8")
    async with (
        running(folder, nats_url, "work.py", "--timeout", "30") as program,
        cbs.connect(nats_url, namespace=folder.name) as bus,
    ):
        for method in ("fork", "spawn", "forkserver"):
            assert await bus.call("logic.greet", method, timeout=30) == [1, 4, 9]
        assert await bus.call("logic.threads") is True
        # A process that a pool ends with SIGTERM had this one's handler, and its way to say so.
        assert program.returncode is None
        assert await bus.call("logic.double", 2) == 4
        program.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(program.communicate(), 20)
        assert await program.wait() == 0
        assert said.decode().count("draining") == 1, said


async def test_it_serves_a_file_and_drains_on_sigterm(nats_url: str, folder: Path) -> None:
    async with running(folder, nats_url) as program, cbs.connect(nats_url, namespace=folder.name) as bus:
        assert await bus.call("logic.greet", {"name": "Ada"}) == {"text": "Hello, Ada!"}
        slow = asyncio.create_task(bus.call("logic.slow", 0.5))
        await bus.barrier()
        program.send_signal(signal.SIGTERM)
        assert await slow == "answered"
        out, err = await asyncio.wait_for(program.communicate(), 20)
        assert program.returncode == 0, err
        assert out.decode().splitlines() == ["started", "greeting Ada", "stopped"]
        assert err.decode() == "draining; a second signal stops now\n"


async def test_a_task_of_a_cell_that_leaves_ends_no_other_call(nats_url: str, folder: Path) -> None:
    async with running(folder, nats_url) as program, cbs.connect(nats_url, namespace=folder.name) as bus:
        slow = asyncio.create_task(bus.call("logic.slow", 0.3))
        await bus.barrier()
        assert await bus.call("logic.leaves") == "still here"
        assert await slow == "answered"
        program.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(program.communicate(), 20)
        assert program.returncode == 0, err
        assert b"a task of a cell raised SystemExit: the cells go on" in err


async def test_a_second_signal_stops_at_once(nats_url: str, folder: Path) -> None:
    more = ("greet", "--timeout", "60")
    async with running(folder, nats_url, *more) as program, cbs.connect(nats_url, namespace=folder.name) as bus:
        slow = asyncio.create_task(bus.call("logic.slow", 50, timeout=55))
        await bus.barrier()
        program.send_signal(signal.SIGTERM)
        assert program.stderr is not None
        assert b"draining" in await program.stderr.readline()
        program.send_signal(signal.SIGINT)
        await asyncio.wait_for(program.wait(), 20)
        assert program.returncode == 1
        slow.cancel()


async def test_a_thread_that_hangs_does_not_keep_it_from_ending(nats_url: str, folder: Path) -> None:
    async with running(folder, nats_url) as program, cbs.connect(nats_url, namespace=folder.name) as bus:
        with pytest.raises(cbs.CellError, match="timeout"):
            await bus.call("logic.stuck", timeout=0.2)
        program.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(program.communicate(), 20)
        assert (program.returncode, out.decode().splitlines()) == (0, ["started", "stopped"])
        assert err.decode().splitlines()[-1] == "1 `def` cells are still at work on threads, and are given up"


async def test_one_function_of_a_module(nats_url: str, folder: Path) -> None:
    async with running(folder, nats_url, "greet:greet") as _, cbs.connect(nats_url, namespace=folder.name) as bus:
        assert await bus.call("logic.greet", {"name": "Ada"}) == {"text": "Hello, Ada!"}
        with pytest.raises(cbs.CellError, match="not-found"):
            await bus.call("logic.slow", 0)


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["run", "missing"], 2, "error: there is no module `missing`"),
        (["run", "missing.py"], 2, "error: there is no file missing.py"),
        (["run", "json"], 2, "error: json: the module `json` has no cells: decorate a function with @cbs.cell"),
        (["run", "json:nothing"], 2, "error: the module `json` has no `nothing`"),
        (["run", "good", "--nats", "nats://127.0.0.1:1"], 2, "error: no connection to nats://127.0.0.1:1:"),
        (["run"], 64, "error: the following arguments are required: MODULE[:APP]"),
        (["run", "json", "--namespace", "No"], 64, "error: argument --namespace: `No` is no namespace"),
        (["run", "json", "--concurrency", "0"], 64, "error: argument --concurrency: 0 would let nothing run"),
        (["run", "json", "--timeout", "soon"], 64, "error: argument --timeout: `soon` is no number of seconds"),
        (["dance"], 64, "error: argument COMMAND: invalid choice: 'dance'"),
    ],
)
def test_what_it_cannot_start_it_says(tmp_path: Path, arguments: list[str], status: int, line: str) -> None:
    (tmp_path / "good.py").write_text('import cbs\n@cbs.cell("a.b")\ndef b(): pass\n', encoding="utf-8")
    done = subprocess.run([*PROGRAM, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert [found for found in done.stderr.splitlines() if found.startswith(line)], done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("wrong", "import cbs\n@cbs.cell('a.b')\ndef f(a, b): pass\n", ["wrong.py:2: a cell has one input"]),
        ("syntax", "def f(:\n", ['syntax.py", line 1', "SyntaxError"]),
        ("leaves", "import sys\nsys.exit(0)\n", ['leaves.py", line 2', "SystemExit"]),
        ("time", "x = 1\n", ["error: time.py: another module is called `time`: give the file another name"]),
    ],
)
def test_what_cannot_be_loaded_it_says(tmp_path: Path, name: str, text: str, lines: list[str]) -> None:
    (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    command = [*PROGRAM, "run", f"{name}.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert [line for line in lines if line not in done.stderr] == [], done.stderr
    assert "importlib" not in done.stderr


async def test_a_start_that_hangs_is_ended_by_a_signal(nats_url: str, folder: Path) -> None:
    text = """
import asyncio, sys, cbs

@cbs.start
async def hangs():
    print("starting", file=sys.stderr, flush=True)
    await asyncio.Event().wait()

@cbs.stop
def stopped():
    print("stopped", flush=True)

@cbs.cell("logic.never")
async def never(): pass
"""
    (folder / "hangs.py").write_text(text, encoding="utf-8")
    program = await asyncio.create_subprocess_exec(
        *PROGRAM, "run", "hangs.py", "--nats", nats_url, "--namespace", folder.name, cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert program.stderr is not None
        assert await asyncio.wait_for(program.stderr.readline(), 20) == b"starting\n"
        program.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(program.communicate(), 10)
        assert (program.returncode, out, err) == (0, b"", b"stopped before the start was over\n")
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


def test_help_and_version_are_data() -> None:
    for argument, start in (("--help", "usage: cbs-python"), ("--version", "cbs-python 0.1.0")):
        done = subprocess.run([*PROGRAM, argument], capture_output=True, text=True, check=True)
        assert done.stdout.startswith(start)
        assert done.stderr == ""
