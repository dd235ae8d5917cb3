"""The SDK that is built into the program, imported from memory: another `cbs` in site-packages never wins."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType


SOURCES: dict[str, tuple[bool, str]] = {}
"""Of each module whether it has modules of its own, and its text."""


class Embedded(MetaPathFinder, InspectLoader):
    """Finds and loads the modules of one package from their texts; tracebacks show them as `<cbs>/…`."""

    def __init__(self, sources: Mapping[str, tuple[bool, str]]) -> None:
        self._sources = sources

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for every name within `cbs`: what is not built in is not there, wherever else it may stand."""
        found = self._sources.get(fullname)
        if found is None:
            if fullname.partition(".")[0] != "cbs":
                return None
            message = f"the SDK that is built into this program has no module `{fullname}`"
            raise ModuleNotFoundError(message, name=fullname)
        package, _ = found
        spec = ModuleSpec(fullname, self, origin=self._place(fullname), is_package=package)
        spec.has_location = True
        return spec

    def is_package(self, fullname: str) -> bool:
        """Whether the module has modules of its own."""
        return self._sources[fullname][0]

    def get_source(self, fullname: str) -> str:
        """Return the module's text, which tracebacks show lines of."""
        return self._sources[fullname][1]

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module."""
        return compile(self.get_source(fullname), self._place(fullname), "exec", dont_inherit=True)

    def _place(self, fullname: str) -> str:
        tail = "/__init__.py" if self.is_package(fullname) else ".py"
        return "<cbs>/" + fullname.replace(".", "/") + tail


def install(sources: Mapping[str, tuple[bool, str]]) -> None:
    """Put the embedded SDK before all other ways to find a module."""
    SOURCES.update(sources)
    sys.meta_path.insert(0, Embedded(SOURCES))
