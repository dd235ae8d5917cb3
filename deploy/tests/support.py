"""Paths of deploy/, and the programs that its tests run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TOOLS = Path(os.environ.get("CBS_TOOLS") or Path.home() / ".cache/cbs/tools")


def program(name: str) -> str:
    """The path of a program of the tools cache or of PATH; a test that lacks it is left out, and says so."""
    kept = TOOLS / "bin" / name
    found = str(kept) if kept.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: see deploy/setup.sh lint")
    return found


def run(*command: str | Path, **more: object) -> str:
    """Runs a program to its end; what it said, or a failure that shows it."""
    done = subprocess.run(  # noqa: S603
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
        **more,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def document(path: Path) -> dict:
    """The one document of a YAML file."""
    return yaml.safe_load(path.read_text())
