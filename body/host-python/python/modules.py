"""The modules of cells: compiled from source bytes, under names that no two cells share.

A cell's file becomes the package `cbs_cells_<n>`, where n is counted up and never used twice; a file or a
folder beside it that the cell imports as `helper` becomes `cbs_cells_<n>.helper`. The word `import` finds
them because these modules run with builtins of their own, whose `__import__` looks beside the cell's file
first, as Python does for a script; what is not there is imported as anywhere. So two cells, two versions of a
cell, and two lanes of one, never meet in `sys.modules`. `importlib.import_module("helper")`, which is not the
word `import`, does not look there: write `import_module(".helper", __package__)`, or `import helper`.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import linecache
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec, EXTENSION_SUFFIXES
from itertools import count
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

_PREFIX = "cbs_cells_"
_numbers = count(1)
_folders: dict[str, Cell] = {}


class Cell(InspectLoader):
    """One life of a cell's file in one lane, and of what it imports from beside it."""

    def __init__(self, file: str, name: str | None = None) -> None:
        self.name = name or f"{_PREFIX}{next(_numbers)}"
        self.file = Path(file)
        self.folder = self.file.parent
        self.source = b""
        self._files: dict[str, Path] = {self.name: self.file}
        self._found: set[str] = set()
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._beside: dict[str, bool] = {}
        self._ends: list[Callable[[], None]] = []

    def offer(self, source: bytes) -> None:
        """Let the word `import` find the cell's file by its package's name; the caller has read its bytes."""
        self.source = source
        _folders[self.name] = self

    def load(self, source: bytes) -> ModuleType:
        """Run the cell's file. What it raises is the caller's."""
        self.offer(source)
        module = sys.modules[self.name] = importlib.util.module_from_spec(self._package())
        try:
            self.exec_module(module)
        except BaseException:
            self.unload()
            raise
        return module

    def at_end(self, end: Callable[[], None]) -> None:
        """Do this when the cell ends."""
        self._ends.append(end)

    def unload(self) -> None:
        """Forget the cell's modules, and end what belongs to them."""
        _folders.pop(self.name, None)
        for name in (self.name, *self._found):
            sys.modules.pop(name, None)
        self._found.clear()
        for file in self._files.values():
            linecache.cache.pop(str(file), None)
        while self._ends:
            try:
                self._ends.pop()()
            except Exception:
                logging.getLogger("cbs").exception("something of the cell's could not be ended")

    def _package(self) -> ModuleSpec:
        spec = ModuleSpec(self.name, self, origin=str(self.file), is_package=True)
        spec.submodule_search_locations = []
        spec.has_location = True
        return spec

    def find(self, fullname: str) -> ModuleSpec | None:
        """Find the cell's file, or a module or a package beside it."""
        if fullname == self.name:
            return self._package()
        self._found.add(fullname)
        base = self.folder.joinpath(*fullname.split(".")[1:])
        for file, package in ((base / "__init__.py", True), (base.with_name(base.name + ".py"), False)):
            if file.is_file():
                self._files[fullname] = file
                spec = ModuleSpec(fullname, self, origin=str(file), is_package=package)
                spec.has_location = True
                return spec
        for suffix in EXTENSION_SUFFIXES:
            file = base.with_name(base.name + suffix)
            if file.is_file():
                return ModuleSpec(fullname, ExtensionFileLoader(fullname, str(file)), origin=str(file))
        if self._is_namespace(base):
            return ModuleSpec(fullname, None, is_package=True)
        return None

    def is_package(self, fullname: str) -> bool:
        """Whether the module has modules of its own."""
        return self._files[fullname].name == "__init__.py"

    def get_source(self, fullname: str) -> str:
        """Return the module's text as it is in its file now."""
        return importlib.util.decode_source(self._files[fullname].read_bytes())

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module from its source: never from, or to, a `.pyc`."""
        file = self._files[fullname]
        source = self.source if fullname == self.name else file.read_bytes()
        return compile(source, str(file), "exec", dont_inherit=True)

    def get_data(self, path: str) -> bytes:
        """Return a file beside a module, for `pkgutil.get_data`."""
        return Path(path).read_bytes()

    def get_resource_reader(self, fullname: str) -> Any:
        """Return what reads the files beside a module, for `importlib.resources`."""
        from importlib.readers import FileReader  # most cells never ask, and it imports much

        return FileReader(SimpleNamespace(path=str(self._files[fullname])))  # type: ignore[arg-type]

    def exec_module(self, module: ModuleType) -> None:
        """Run a module with the cell's own builtins."""
        self._run(self.get_code(module.__name__), module)

    def _run(self, code: CodeType, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._builtins
        exec(code, module.__dict__)  # noqa: S102 - that is what a loader does

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - the names of `__import__`
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or not self._is_beside(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        found = builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist or (), 0)
        return found if fromlist else sys.modules[f"{self.name}.{top}"]

    def _is_beside(self, top: str) -> bool:
        beside = self._beside.get(top)
        if beside is None:
            beside = self._beside[top] = top not in _OURS and self._looks_beside(top)
        return beside

    def _looks_beside(self, top: str) -> bool:
        spec = self.find(f"{self.name}.{top}")
        # A plain folder is a package only where nothing else has the name, as Python has it.
        return spec is not None and (spec.loader is not None or importlib.util.find_spec(top) is None)

    def _is_namespace(self, base: Path) -> bool:
        return base.is_dir() and any(base.glob("*.py"))


_OURS = frozenset({"cbs", *sys.builtin_module_names})


class _Finder(MetaPathFinder):
    """Finds what stands beside cells, by the name of the cell's package."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_PREFIX):
            return None
        cell = _folders.get(fullname.partition(".")[0])
        return cell.find(fullname) if cell else None


sys.meta_path.insert(0, _Finder())
