"""The program ``cbs-python``: cells of a module on NATS, without a body.

Data goes to standard output, everything else to standard error. Exit status: 0 done, 1 the work
failed, 2 could not start, 64 usage.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from cbs import _log
from cbs._bus import Bus, connect, new_body_id
from cbs._lane import Lane
from cbs._names import checked
from cbs._serve import Limits, Standalone
from cbs._version import VERSION

DONE, FAILED, NOT_STARTED, USAGE = 0, 1, 2, 64
DRAIN_SECONDS = 30.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"error: {message}\n")


class NotStartedError(Exception):
    """Why nothing could be started, and how to mend it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit status."""
    options = _parser().parse_args(arguments)
    level = os.environ.get("CBS_LOG", "info").upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_log.Ids())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-5s %(name)s %(cbs_id)s %(message)s"))
    logging.basicConfig(level=level if level in logging.getLevelNamesMapping() else "INFO", handlers=[handler])
    try:
        with asyncio.Runner() as runner:
            return _finished(runner.get_loop(), _run(options))
    except NotStartedError as error:
        sys.stderr.write(f"error: {error}\n")
        return NOT_STARTED
    except KeyboardInterrupt:
        return FAILED


def _finished(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, int]) -> int:
    """Run the loop until the work is done, whatever the tasks of cells raise through it, as a body does."""
    task = loop.create_task(work)
    while True:
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
            # While cells are served a signal is no KeyboardInterrupt.
            interrupted = signal.getsignal(signal.SIGINT) is signal.default_int_handler
            if task.done() or (interrupted and isinstance(error, KeyboardInterrupt)):
                raise
            logging.getLogger("cbs").exception("a task of a cell raised %s: the cells go on", type(error).__name__)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="cbs-python", description="Cells in Python on NATS, without a body around them.")
    parser.add_argument("--version", action="version", version=f"cbs-python {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="serve the cells of a module until SIGINT or SIGTERM, then drain",
        description=(
            "Serves the cells of a module until SIGINT or SIGTERM, then takes no more calls and answers those it has "
            f"({DRAIN_SECONDS:.0f} s; a second signal stops now)."
        ),
    )
    run.add_argument(
        "module",
        metavar="MODULE[:APP]",
        help="a module such as `shop.cells`, or a file such as greet.py; APP is one function or module in it",
    )
    run.add_argument("--nats", metavar="URL", default=None, help="the server (default: NATS_URL, then 127.0.0.1:4222)")
    run.add_argument("--namespace", metavar="NAME", type=_name("namespace"), default=None,
                     help="the namespace (default: CBS_NAMESPACE, then `default`)")  # fmt: skip
    run.add_argument("--body", metavar="ID", type=_name("body"), help="this process' id (default: <host>-<random>)")
    run.add_argument("--creds", metavar="FILE", default=os.environ.get("NATS_CREDS"),
                     help="a file of credentials (default: NATS_CREDS)")  # fmt: skip
    run.add_argument("--concurrency", metavar="N", type=_count, default=64, help="calls of a cell at once (64)")
    run.add_argument("--queue", metavar="N", type=_count_or_none, default=256, help="calls that may wait (256)")
    run.add_argument("--timeout", metavar="SECONDS", type=_seconds, default=5.0, help="the most one call may take (5)")
    return parser


def _name(kind: str) -> Any:
    def read(text: str) -> str:
        try:
            return checked(kind, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _count_or_none(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"`{text}` is no number: write digits")
    return int(text)


def _count(text: str) -> int:
    number = _count_or_none(text)
    if number == 0:
        raise argparse.ArgumentTypeError("0 would let nothing run: write 1 or more")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is no number of seconds, for example 2.5") from None
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError("write more than 0 seconds, and at most 86400 (a day)")
    return seconds


async def _run(options: argparse.Namespace) -> int:
    lane = _load(options.module)
    more = {"user_credentials": options.creds} if options.creds else {}
    try:
        bus = connect(options.nats, namespace=options.namespace, body=options.body or new_body_id(), **more)
        async with bus:
            return await _serve(lane, bus, options)
    except (ConnectionError, ImportError, ValueError) as error:
        raise NotStartedError(str(error)) from None


async def _serve(lane: Lane, bus: Bus, options: argparse.Namespace) -> int:
    stop, now = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def signalled() -> None:
        (now if stop.is_set() else stop).set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, signalled)
    os.register_at_fork(before=_hold_signals, after_in_parent=_free_signals, after_in_child=_forget_signals)
    served = Standalone(lane, bus, Limits(options.concurrency, options.queue, options.timeout))
    try:
        if not await _started(served, stop, now):
            return DONE
    except Exception as error:
        logging.getLogger("cbs").exception("the start failed")
        raise NotStartedError(f"the start failed: {error!r}") from None
    names = ", ".join(served.cells)
    sys.stderr.write(f"serving {names} on {bus.url} (namespace {bus.namespace}, body {bus.body})\n")
    sys.stderr.flush()
    await _first(stop, bus.closed)
    if bus.closed.is_set():
        sys.stderr.write(f"error: the connection to {bus.url} was closed\n")
        return FAILED
    sys.stderr.write("draining; a second signal stops now\n")
    drained = asyncio.ensure_future(served.stop(DRAIN_SECONDS))
    at_once = asyncio.ensure_future(now.wait())
    await asyncio.wait({drained, at_once}, return_when=asyncio.FIRST_COMPLETED)
    at_once.cancel()
    if not drained.done() or not drained.result():
        drained.cancel()
        sys.stderr.write("stopped with calls or stop hooks under way\n")
        _end(FAILED)
    if lane.blocking:
        await bus.close()
        sys.stderr.write(f"{lane.blocking} `def` cells are still at work on threads, and are given up\n")
        _end(DONE)
    return DONE


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _free_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _forget_signals() -> None:
    """Let a forked child end by a signal: it has this program's handlers, and its way to hear of one."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _free_signals()


async def _started(served: Standalone, stop: asyncio.Event, now: asyncio.Event) -> bool:
    """Start, unless a signal comes first: a start hook may wait for something that never comes."""
    starting, stopping = asyncio.ensure_future(served.start()), asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    at_once = asyncio.ensure_future(now.wait())
    await asyncio.wait({starting, at_once}, timeout=DRAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    at_once.cancel()
    sys.stderr.write("stopped before the start was over\n")
    if not starting.done():
        _end(FAILED)
    return False


def _end(status: int) -> NoReturn:
    """End now: a ``def`` cell that hangs on its thread would keep the interpreter from ending by itself."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _load(wanted: str) -> Lane:
    """Import what is to be served: ``module``, ``module:app``, or the path of a file."""
    path, _, app = wanted.partition(":")
    folder, name = str(Path.cwd()), path
    if path.endswith(".py"):
        folder, name = str(Path(path).resolve().parent), Path(path).stem
        if not Path(path).is_file():
            raise NotStartedError(f"there is no file {path}")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0] and error.name != name:
            raise NotStartedError(f"{wanted}: {error}") from None
        raise NotStartedError(f"there is no module `{name}` in {folder} or in what is installed") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the module's own code runs
        hint = ""
        if path.endswith(".py") and isinstance(error, ImportError) and "relative import" in str(error):
            hint = "\na file is loaded by itself: name it as a module of its package, such as `package.module`"
        raise NotStartedError(f"{wanted} cannot be loaded\n{_trace(error)}{hint}") from None
    if path.endswith(".py") and Path(getattr(found, "__file__", None) or "").resolve() != Path(path).resolve():
        raise NotStartedError(f"{path}: another module is called `{name}`: give the file another name")
    for part in app.split(".") if app else ():
        found = getattr(found, part, None)
    if found is None:
        raise NotStartedError(f"the module `{name}` has no `{app}`")
    if not isinstance(found, ModuleType) and not callable(found):
        raise NotStartedError(f"`{wanted}` is no module and no function: name what has cells")
    try:
        return Lane([found])
    except (TypeError, ValueError) as error:
        raise NotStartedError(f"{wanted}: {error}") from None


def _trace(error: BaseException) -> str:
    """Return a traceback without the frames of the SDK and of Python's own importing."""
    own = (str(Path(__file__).parent), str(importlib.__file__), "<frozen importlib")
    told = traceback.TracebackException(type(error), error, error.__traceback__)
    frames = [frame for frame in told.stack if not frame.filename.startswith(own)]
    told.stack = traceback.StackSummary.from_list(frames)
    return "".join(told.format()).rstrip()


if __name__ == "__main__":
    sys.exit(main())
