"""The vectors that every language reads: `specs/vectors/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> dict[str, Any]:
    """Return one of the files; a missing one fails the tests, loudly."""
    path = ROOT / "specs" / "vectors" / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: the tests run in the repository, for all languages share vectors")
    vectors: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return vectors
