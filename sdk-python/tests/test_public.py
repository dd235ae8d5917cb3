"""What the package gives its users, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import types
from importlib import resources

import cbs
import cbs.testing
from cbs import _version

from vectors import ROOT


def test_all_is_exact_and_sorted() -> None:
    for module in (cbs, cbs.testing):
        assert module.__all__ == sorted(module.__all__)
    public = {
        name
        for name, value in vars(cbs).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == set(cbs.__all__)


def test_the_package_is_typed() -> None:
    assert resources.files("cbs").joinpath("py.typed").is_file()


def test_the_version_is_the_packages() -> None:
    project = tomllib.loads((ROOT / "sdk-python" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["version"], project["dependencies"]) == (_version.VERSION, [])


def test_an_import_brings_no_package_that_is_not_needed() -> None:
    program = "import sys, cbs, cbs.testing; print(sorted({'nats', 'pydantic', 'pytest'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_public_thing_says_what_it_is() -> None:
    for name in cbs.__all__:
        thing = getattr(cbs, name)
        assert thing.__doc__, name
        for part, value in vars(thing).items() if isinstance(thing, type) else ():
            if not part.startswith("_") and callable(value):
                assert value.__doc__, f"{name}.{part}"
