"""A real nats-server for the tests that need one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

_STARTED_WITHIN = 20.0


def binary() -> str:
    """Where the server is; a missing one is a failure that says what to do."""
    named = os.environ.get("CBS_NATS_SERVER")
    cached = Path.home() / ".cache" / "cbs" / "tools" / "bin" / "nats-server"
    found = named or (str(cached) if cached.exists() else shutil.which("nats-server"))
    if not found or not Path(found).exists():
        raise FileNotFoundError(
            f"no nats-server: {named or cached} is missing. Run `make setup`, or name one in CBS_NATS_SERVER."
        )
    return found


class Server:
    """A server on a free port of the loopback, with a store of its own; ended by its process id."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="cbs-python-")
        self._process: subprocess.Popen[bytes] | None = None
        self._port = "-1"
        self.url = ""

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it; a second time on the port that it had."""
        folder = Path(self._folder.name)
        for old in folder.glob("*.ports"):
            old.unlink()
        command = [
            binary(), "--addr", "127.0.0.1", "--port", self._port, "--ports_file_dir", str(folder),
            "--jetstream", "--store_dir", str(folder / "store"), "--log", str(folder / "log"),
        ]  # fmt: skip
        self._process = subprocess.Popen(command)
        deadline = time.monotonic() + _STARTED_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            for ports in folder.glob("*.ports"):
                text = ports.read_text(encoding="utf-8")
                if text.endswith("}"):
                    self.url = str(json.loads(text)["nats"][0])
                    self._port = self.url.rpartition(":")[2]
                    return
            time.sleep(0.01)  # sleep: between two looks for the file that says the port
        log = (folder / "log").read_text(encoding="utf-8") if (folder / "log").exists() else ""
        self.end()
        raise RuntimeError(f"nats-server did not start: {log[-2000:]}")

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
