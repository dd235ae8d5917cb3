"""Checks a cell's file without running it: its syntax, what it imports from beside itself, and the function that the
spec names.

Also a program of its own: `python -I -S -c <this> FILE FUNCTION CELL` prints what is wrong.
"""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

_Function = ast.FunctionDef | ast.AsyncFunctionDef

FILES_MAX = 500
"""How many files are read of what a cell imports from beside itself."""


def check(source: bytes, file: str, function: str, cell: str) -> str | None:
    """Return what is wrong with the file, `file:line: reason`; `None` where nothing is to be seen."""
    tree = _parsed(source, file)
    if isinstance(tree, str):
        return tree
    statements = list(_top(tree.body))
    found = [node for node in statements if isinstance(node, _Function) and node.name == function]
    wrong = _wrong(found[-1], file, cell) if found else _missing(statements, file, function)
    return wrong or _Beside(Path(file)).check(tree)


def _parsed(source: bytes, file: str) -> ast.Module | str:
    try:
        return ast.parse(source, file)
    except SyntaxError as error:
        return f"{file}:{error.lineno or 1}: {type(error).__name__}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{file}: {error}"


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Return the statements of a module, with those in its conditions."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.For | ast.While | ast.Try | ast.TryStar | ast.With | ast.Match):
            for name in ("body", "orelse", "finalbody"):
                yield from _top(getattr(node, name, []))
            for branch in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
                yield from _top(branch.body)


def _missing(statements: list[ast.stmt], file: str, function: str) -> str | None:
    names = _names(statements)
    if names is None or function in names or "__getattr__" in names:
        # Made some other way than by `def`: known when the file runs.
        return None
    functions = sorted(node.name for node in statements if isinstance(node, _Function))
    alike = difflib.get_close_matches(function, functions, 1)
    hint = f"; did you mean `{alike[0]}`?" if alike else f"; it has {_listed(functions)}" if functions else ""
    return f"{file}: there is no function `{function}`{hint}"


def _names(statements: list[ast.stmt]) -> set[str] | None:
    """Return the names that a module has; `None` where it takes all names of another."""
    names: set[str] = set()
    for node in statements:
        if isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                if alias.name == "*":
                    return None
                names.add(alias.asname or alias.name)
        elif isinstance(node, _Function | ast.ClassDef):
            names.add(node.name)
        else:
            names |= {found.id for found in ast.walk(node) if isinstance(found, ast.Name) and _is_set(found)}
    return names


def _is_set(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:8])


def _wrong(node: _Function, file: str, cell: str) -> str | None:
    place = f"{file}:{node.lineno}"
    for decorator in node.decorator_list:
        said = _cell_name(decorator)
        if said is not None and said != cell:
            return (
                f"{file}:{decorator.lineno}: the spec says `{cell}`, the decorator says `{said}`; write the same name "
                "in both, or leave the decorator out"
            )
    if any(_cell_name(decorator) is None for decorator in node.decorator_list):
        # What it takes in the end is up to its decorators.
        return None
    arguments = node.args
    for starred, mark in ((arguments.vararg, "*"), (arguments.kwarg, "**")):
        if starred is not None:
            return f"{place}: `{mark}{starred.arg}` can take nothing: a cell has one input and a context"
    inputs = [
        argument.arg
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        if argument.arg != "ctx" and not (argument.annotation and "Context" in ast.unparse(argument.annotation))
    ]
    if len(inputs) > 1:
        return f"{place}: a cell has one input, this one has {_listed(inputs)}; put them into one type"
    if any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in _own(node)):
        return f"{place}: a cell gives one answer; it cannot `yield`"
    return None


def _cell_name(decorator: ast.expr) -> str | None:
    """Return the name in `@cbs.cell("name")`; `None` for any other decorator."""
    if not isinstance(decorator, ast.Call) or not decorator.args:
        return None
    if ast.unparse(decorator.func) not in {"cbs.cell", "cell"}:
        return None
    first = decorator.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Return what stands in a function, without the functions in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _Function | ast.Lambda):
            yield child
            yield from _own(child)


class _Beside:
    """The files that a cell's file imports from beside itself, each looked at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._root = file.parent
        self._open: list[Path] = []
        self._seen = {file}

    def check(self, tree: ast.Module) -> str | None:
        """Return what is wrong with the imports of the cell's file, and of what it imports from beside itself."""
        wrong = self._imports(self._file, tree)
        while wrong is None and self._open:
            file = self._open.pop()
            found = _parsed(file.read_bytes(), str(file))
            wrong = found if isinstance(found, str) else self._imports(file, found)
        return wrong

    def _imports(self, file: Path, tree: ast.Module) -> str | None:
        for node in _certain(tree):
            wrong = None
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._follow(self._root, alias.name)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                self._follow(self._root, node.module or "")
            elif isinstance(node, ast.ImportFrom):
                wrong = self._relative(file, tree, node)
            if wrong is not None:
                return f"{file}:{node.lineno}: {wrong}"
        return None

    def _relative(self, file: Path, tree: ast.Module, node: ast.ImportFrom) -> str | None:
        package = file.parent
        if node.level > len(package.relative_to(self._root).parts) + 1:
            said = f"from {'.' * node.level}{node.module or ''} import"
            return (
                f"`{said}` leads above the folder of the cell's file, from where nothing can be imported; put what "
                "cells share into a package of its own, and name it in requirements.txt (`-e ../shared`)"
            )
        for _ in range(node.level - 1):
            package = package.parent
        if node.module:
            if self._follow(package, node.module):
                return None
            named, path = "." * node.level + node.module, node.module.replace(".", "/")
            return f"there is no module `{named}`: no {path}.py in {package}"
        # A module of the package, or a name of the file that is the package.
        names = self._names_of(package, file, tree)
        for alias in node.names:
            if not self._follow(package, alias.name) and names is not None and alias.name not in {*names, "*"}:
                return f"there is no `{alias.name}` to import: no {alias.name}.py in {package}"
        return None

    def _names_of(self, package: Path, file: Path, tree: ast.Module) -> set[str] | None:
        if package == self._root and file == self._file:
            # What this very import sets is not there before it.
            statements = [node for node in _top(tree.body) if not (isinstance(node, ast.ImportFrom) and node.level)]
            return _names(statements)
        return None

    def _follow(self, package: Path, module: str) -> bool:
        """Whether a module stands there; what can be read of it is looked at later."""
        found = False
        for part in module.split("."):
            package /= part
            files = [package / "__init__.py", package.with_name(f"{part}.py")]
            file = next((file for file in files if file.is_file()), None)
            if file is not None and file not in self._seen and len(self._seen) < FILES_MAX:
                self._seen.add(file)
                self._open.append(file)
            compiled = (package.with_name(part + suffix) for suffix in EXTENSION_SUFFIXES)
            found = file is not None or package.is_dir() or any(file.is_file() for file in compiled)
            if not found:
                break
        return found


def _certain(node: ast.AST) -> Iterator[ast.stmt]:
    """Return the statements of a file but those that are there for type checkers, or may fail."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Try) and child.handlers:
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from _certain(child)


if __name__ == "__main__":
    wrong = check(Path(sys.argv[1]).read_bytes(), *sys.argv[1:4])
    if wrong is not None:
        sys.stdout.write(wrong)
