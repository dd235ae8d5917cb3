"""A lane: one thread with one event loop that runs a cell for the body that embeds this interpreter.

The body's side of a lane is a `Native`, its calls are `NativeCall`s: they hand over calls and take
answers in batches, one crossing of the border each. Nothing here blocks the loop, and nothing that a
cell raises ends it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from itertools import count
from types import FrameType, TracebackType
from typing import Any

from cbs import _carry
from cbs._cell import Definition, EncodeError, definition
from cbs._codec import checked
from cbs._context import CURRENT, CallInfo, Context, Incoming, Outgoing
from cbs._errors import CellError, Outcome
from cbs._hooks import Hook, State, hooks
from cbs._log import shortened
from cbs._native import HostCall, Module, Native, NativeCall, Stop
from cbs._threads import THREADS_MAX, Threads

STUCK_AFTER = 0.25
"""How long a cancelled call may take to end before it counts as stuck, in seconds."""

LEAKED_WAIT = 1.0
"""How long tasks that a cell left behind are given to end once they are cancelled, in seconds."""

IDLE_TURNS = 3
"""How often the inbox is looked into in vain before the bell is waited for: a caller that has just been
answered often calls again at once, and a bell costs more than a look."""

LANE: ContextVar[Native | None] = ContextVar("cbs_lane", default=None)
"""The lane whose code runs: what it prints and logs outside of calls is its cell's."""
MODULE: ContextVar[Module | None] = ContextVar("cbs_module", default=None)
"""The file of that lane's cell."""
_carry.MARKS.append(LANE)

_ERROR, _WARNING = 40, 30


def serve(native: Native, module: Module, source: bytes, function: str) -> None:
    """Run a lane on this thread until the body says stop."""
    _carry.install()
    LANE.set(native)
    MODULE.set(module)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_default_executor(ThreadPoolExecutor(THREADS_MAX, "cbs-to-thread"))
    lane = Lane(native, loop)
    # From the start to the end: who starts a lane may give it up, and stop hooks may call.
    loop.add_reader(native.fileno(), lane.wake)
    try:
        if _run(loop, lane.open(module, source, function)):
            native.ready()
            _run_forever(loop, lane)
        else:
            lane.stopping = 2
        _run(loop, lane.close())
    finally:
        if not loop.is_closed():
            loop.remove_reader(native.fileno())
        module.unload()
        lane.forget()
        loop.close()
        asyncio.set_event_loop(None)
        MODULE.set(None)
        LANE.set(None)


def _run(loop: asyncio.AbstractEventLoop, work: Any) -> Any:
    task = loop.create_task(work)
    while not task.done():
        # What a task of the cell's raises as SystemExit or KeyboardInterrupt comes out of the loop, and a RuntimeError
        # does where the cell has stopped the loop: it goes on.
        try:
            loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt, RuntimeError):
            if loop.is_closed():
                raise
    return task.result()


def _run_forever(loop: asyncio.AbstractEventLoop, lane: Lane) -> None:
    while not lane.stopping:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            lane.log(None, _ERROR, f"a task of the cell raised {type(error).__name__}: the cell goes on", error)


class Lane:
    """Takes calls, runs them, and hands back what came of them."""

    def __init__(self, native: Native, loop: asyncio.AbstractEventLoop) -> None:
        self.native = native
        self.stopping: Stop = 0
        self.state = State()
        self._loop = loop
        self._port = LanePort(native, loop)
        self._finished: list[Any] = []
        self._flush_soon = False
        self._idle = 0
        self._opening: asyncio.Task[Any] | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._cancelled: set[int] = set()
        self._on_threads: dict[int, tuple[NativeCall, int]] = {}
        self._folder = ""
        self._threads: Threads | None = None
        self._cell: Definition
        self._begin: Callable[[list[NativeCall]], None]
        self._stop_hooks: list[Hook] = []
        native.settle(threading.get_ident(), self._context)

    async def open(self, module: Module, source: bytes, function: str) -> bool:
        """Load the module, find the cell in it, and run its start hooks. The body is told what goes wrong."""
        self._opening = asyncio.current_task()
        try:
            loaded = module.load(source)
            self._folder = os.path.join(os.path.dirname(loaded.__file__ or ""), "")  # noqa: PTH118, PTH120 - texts
            found = getattr(loaded, function, None)
            if found is None:
                raise AttributeError(f"{loaded.__file__}: there is no function `{function}`")
            self._cell = definition(found, self.native.cell)
            start_hooks, self._stop_hooks = hooks(loaded)
            for hook in start_hooks:
                await hook.run(self.state)
        except CellError as error:
            self.native.failed(error.code, error.message, error.retryable, _details(error))
            return False
        except BaseException as error:  # noqa: BLE001 - also sys.exit() must not end the lane
            self.native.failed("", _reason(error), False, None)
            return False
        finally:
            self._opening = None
        if not self._cell.is_async:
            self._threads = Threads(self._call_on_thread)
            self._begin = self._threads.put
        elif self._cell.never_suspends:
            self._begin = self._call_at_once
        else:
            self._begin = self._call_in_tasks
        return True

    def wake(self) -> None:
        """The body has something for this lane."""
        self.native.received()
        self._idle = 0
        self._turn()

    def _turn(self) -> None:
        try:
            last = self._idle >= IDLE_TURNS
            taken = self.native.take(last)
            if taken is None:
                if last:
                    return
                self._idle += 1
                self._loop.call_soon(self._turn)
                return
            self._idle = 0
            calls, cancelled, done, stop = taken
            if done:
                self._port.arrived(done)
            if calls:
                self._begin(calls)
                if self._finished:
                    self._flush()
            for key in cancelled:
                self._cancel(key)
            if stop and not self.stopping:
                self.stopping = stop
                if self._opening is None:
                    self._loop.stop()
                else:
                    # Who started the lane waits no more: a start hook that never ends is not to stay for ever.
                    self._opening.cancel("the cell is being stopped")
        except BaseException as error:  # noqa: BLE001 - memory may be short: the lane goes on, lost calls have failed
            self.log(None, _ERROR, f"a turn of the lane failed: {_one_line(error)}", error)
        # Again, with a turn of everything else in between, until there is nothing.
        self._loop.call_soon(self._turn)

    def _flush(self) -> None:
        self._flush_soon = False
        finished, self._finished = self._finished, []
        self.native.finish(finished)

    def _context(self, call: NativeCall) -> Context:
        return Context(call, self._port, self.state, self._loop)

    def _call_at_once(self, calls: list[NativeCall]) -> None:
        """Run coroutines that have no place to wait: no task, no turn of the loop."""
        cell, finished, set_current = self._cell, self._finished, CURRENT.set
        decode, invoke, encode, context = cell.decode, cell.invoke, cell.encode, None
        for call in calls:
            payload = call.claim()
            if payload is None:
                continue
            try:
                if cell.wants_context:
                    context = self._context(call)
                    set_current(context)
                else:
                    set_current(call)
                coroutine = invoke(context, decode(payload, call.content_type))
                try:
                    # What it sets in its context is the call's alone, as in a task.
                    copy_context().run(coroutine.send, None)
                except StopIteration as stop:
                    value = stop.value
                else:
                    coroutine.close()
                    raise RuntimeError("a coroutine without an `await` has waited")
                finished += (call, *encode(value))
            except BaseException as error:  # noqa: BLE001 - whatever a cell raises costs its own caller
                self._fail(call, error)
        set_current(None)

    def _call_in_tasks(self, calls: list[NativeCall]) -> None:
        """Run coroutines that may wait, each in a task with a context of its own."""
        for call in calls:
            payload = call.claim()
            if payload is None:
                continue
            CURRENT.set(call)
            self._tasks[call.key] = self._loop.create_task(self._attend(call, payload))
        CURRENT.set(None)

    async def _attend(self, call: NativeCall, payload: bytes) -> None:
        cell, key, context = self._cell, call.key, None
        try:
            if cell.wants_context:
                context = self._context(call)
                CURRENT.set(context)
            payload, content_type = cell.encode(await cell.invoke(context, cell.decode(payload, call.content_type)))
        except asyncio.CancelledError as error:
            if key in self._cancelled:
                call.failed()
            else:
                self._fail(call, error)
        except BaseException as error:  # noqa: BLE001 - whatever a cell raises costs its own caller
            self._fail(call, error)
        else:
            if key in self._cancelled:
                self.log(
                    call, _WARNING, "the cell swallowed its cancellation: its result comes too late and is dropped"
                )
            self._finished += (call, payload, content_type)
            if not self._flush_soon:
                self._flush_soon = True
                self._loop.call_soon(self._flush)
        finally:
            self._tasks.pop(key, None)
            self._cancelled.discard(key)

    def _call_on_thread(self, call: NativeCall) -> None:
        payload = call.claim()
        if payload is None:
            return
        cell, context, key = self._cell, None, call.key
        self._on_threads[key] = (call, threading.get_ident())
        try:
            if cell.wants_context:
                context = self._context(call)
                CURRENT.set(context)
            else:
                CURRENT.set(call)
            result, content_type = cell.encode(cell.invoke(context, cell.decode(payload, call.content_type)))
            self.native.finish([call, result, content_type])
        except BaseException as error:  # noqa: BLE001 - whatever a cell raises costs its own caller
            self._fail(call, error)
        finally:
            del self._on_threads[key]

    def _cancel(self, key: int) -> None:
        task, running = self._tasks.get(key), self._on_threads.get(key)
        if task is not None:
            self._cancelled.add(key)
            # One that never began has no `finally` that forgets it.
            task.add_done_callback(lambda done: self._forget_task(key, done))
            task.cancel("the call's time is over, or its caller has given up")
            self._loop.call_later(STUCK_AFTER, self._look_at_task, key, task)
        elif running is not None:
            self._loop.call_later(STUCK_AFTER, self._look_at_thread, key, running)

    def _forget_task(self, key: int, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
            self._cancelled.discard(key)

    def _look_at_task(self, key: int, task: asyncio.Task[None]) -> None:
        # A key is used again when its call has gone.
        if self._tasks.get(key) is task:
            self.native.stuck(_task_place(task))

    def _look_at_thread(self, key: int, running: tuple[NativeCall, int]) -> None:
        if self._on_threads.get(key) is running:
            frame = sys._current_frames().get(running[1])
            self.native.stuck(place_of(frame, self._folder) if frame else "an unknown place")

    def _fail(self, call: NativeCall, error: BaseException) -> None:
        try:
            self._tell(call, error)
        except BaseException as wrong:  # noqa: BLE001 - memory may be short: no other call pays for it
            call.failed()
            self.log(call, _ERROR, f"the cell raised an error that cannot be shown: {type(wrong).__name__}")

    def _tell(self, call: NativeCall, error: BaseException) -> None:
        if isinstance(error, CellError):
            try:
                call.fail(error.code, error.message, error.retryable, _details(error))
            except Exception as wrong:  # noqa: BLE001 - its parts are whatever the cell put there
                self.log(call, _ERROR, "the cell raised a CellError that JSON cannot hold", wrong)
                call.failed()
            return
        if self.stopping and isinstance(error, GeneratorExit):
            # What would not end at the stop is taken down with its loop; that it would not has been told.
            call.failed()
            return
        what = "the cell's result cannot be sent" if isinstance(error, EncodeError) else "the cell raised"
        self.log(call, _ERROR, f"{what}: {_one_line(error)}", error)
        call.failed()

    def log(self, call: NativeCall | None, level: int, message: str, error: BaseException | None = None) -> None:
        """Write to the body's log; a failure to do so is no call's."""
        try:
            fields = {"exception": shortened(_traceback(error))} if error is not None else None
            self.native.log(call, level, "cbs", message, fields)
        except BaseException:  # noqa: BLE001 - there is no other place to say it
            return

    async def close(self) -> None:
        """Run the stop hooks, and end what the cell has left behind."""
        if self._threads is not None:
            self._threads.stop()
        if self.stopping == 1:
            for hook in self._stop_hooks:
                try:
                    await hook.run(self.state)
                except BaseException as error:  # noqa: BLE001 - the other hooks run all the same
                    self.log(None, _ERROR, f"a stop hook raised: {_one_line(error)}", error)
        leaked = asyncio.all_tasks() - {asyncio.current_task()}
        if not leaked:
            return
        places = ", ".join(sorted({_task_place(task) for task in leaked})[:8])
        self.log(None, _WARNING, f"the cell left {len(leaked)} tasks behind; they are cancelled: {places}")
        for task in leaked:
            task.cancel("the cell is being stopped")
        _, pending = await asyncio.wait(leaked, timeout=LEAKED_WAIT)
        if pending:
            self.log(None, _ERROR, f"{len(pending)} tasks that the cell left behind do not end")

    def forget(self) -> None:
        """Let go of everything of the cell's."""
        self.native.settle(0, None)
        self.state.__dict__.clear()
        executor: ThreadPoolExecutor | None = getattr(self._loop, "_default_executor", None)
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)


class LanePort:
    """Calls of a cell to its host: the body does them, and their results come back to this loop."""

    def __init__(self, native: Native, loop: asyncio.AbstractEventLoop) -> None:
        self._native = native
        self._loop = loop
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def call(self, info: NativeCall, request: Outgoing) -> Incoming:
        """Send a request and wait for the reply."""
        return Incoming(*await self._done(info.send, request))

    async def publish(self, info: NativeCall, event: Outgoing) -> None:
        """Publish an event."""
        await self._done(info.publish, event)

    async def print(self, info: NativeCall, line: str) -> None:
        """Write one line to the standard output of the body's program."""
        await self._done(info.print, line)

    async def ask(self, info: NativeCall, question: str) -> str | None:
        """Ask the person at the body's program."""
        answer: str | None = await self._done(info.ask, question)
        return answer

    def log(self, info: CallInfo | None, level: int, logger: str, message: str, fields: Mapping[str, str]) -> None:
        """Write to the body's log, from any thread."""
        cut = {key: shortened(value) for key, value in fields.items()}
        self._native.log(info, level, logger, shortened(message), cut)

    def attribute(self, info: NativeCall, key: str, value: str) -> None:
        """Say something about a call, from any thread."""
        info.attribute(key, value)

    def event(self, info: NativeCall, name: str, attributes: list[tuple[str, str]]) -> None:
        """Say that something happened in a call, from any thread."""
        info.event(name, attributes)

    async def _done(self, begin: Callable[[int, Any], HostCall | None], what: Any) -> Any:
        number = next(self._numbers)
        future = self._waiting[number] = self._loop.create_future()
        try:
            host_call = begin(number, what)
            try:
                return await future
            except asyncio.CancelledError:
                if host_call is not None:
                    host_call.abort()
                raise
        finally:
            self._waiting.pop(number, None)

    def arrived(self, done: list[tuple[int, Any, Any]]) -> None:
        """Host calls have ended."""
        for number, error, value in done:
            future = self._waiting.get(number)
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(_cell_error(*error))


def _cell_error(code: str, message: str, retryable: bool, details: str | None, outcome: str) -> CellError:
    error = CellError(code, message, retryable, None if details is None else json.loads(details))
    error.outcome = Outcome(outcome)
    return error


def _details(error: CellError) -> str | None:
    """Return an error's details as JSON; EncodeError where it cannot cross the wire."""
    return None if checked(error).details is None else json.dumps(error.details)


def _one_line(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - the cell's own class
        text = "(its text cannot be had)"
    name = type(error).__name__
    return f"{name}: {text[:2000]}" if text else name


def _traceback(error: BaseException) -> str:
    """Return the traceback without the frames of the SDK that are above the cell's."""
    found: TracebackType | None = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename.startswith("<cbs>/"):
        found = found.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, found)).rstrip()
    except BaseException:  # noqa: BLE001 - memory may be short, or the cell's own class wrong
        return _one_line(error)


def _reason(error: BaseException) -> str:
    """Return why a module cannot be loaded, with the place."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    text = _one_line(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    if not frames or text.partition(": ")[2].startswith("/"):
        return text.partition(": ")[2] or text
    return f"{frames[-1].filename}:{frames[-1].lineno}: {text}"


def place_of(frame: FrameType, folder: str) -> str:
    """Return where a thread stands, ``file:line``: its innermost frame in the cell's folder, else its innermost."""
    within: FrameType | None = frame
    while within is not None:
        code = within.f_code
        if folder and code.co_filename.startswith(folder):
            return f"{code.co_filename}:{within.f_lineno} in {code.co_name}"
        within = within.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def _task_place(task: asyncio.Task[Any]) -> str:
    # A task's own stack is one frame deep: what it awaits is found from coroutine to coroutine.
    awaited: Any = task.get_coro()
    frame: FrameType | None = None
    while awaited is not None:
        inner = getattr(awaited, "cr_frame", None)
        if inner is None or (frame is not None and inner.f_code.co_filename == asyncio.tasks.__file__):
            break
        frame, awaited = inner, getattr(awaited, "cr_await", None)
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}" if frame else task.get_name()
