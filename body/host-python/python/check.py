"""Checks a cell's file without running it: its syntax, and the function that the spec names.

Also a program of its own: `python -I -S -c <this> FILE FUNCTION CELL` prints what is wrong.
"""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def check(source: bytes, file: str, function: str, cell: str) -> str | None:
    """Return what is wrong with the file, `file:line: reason`; `None` where nothing is to be seen."""
    try:
        tree = ast.parse(source, file)
    except SyntaxError as error:
        return f"{file}:{error.lineno}: {type(error).__name__}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{file}: {error}"
    statements = list(_top(tree.body))
    found = [node for node in statements if isinstance(node, _Function) and node.name == function]
    if not found:
        return _missing(statements, file, function)
    return _wrong(found[-1], file, cell)


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Return the statements of a module, with those in its conditions."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            for name in ("body", "orelse", "finalbody"):
                yield from _top(getattr(node, name, []))
            for handler in getattr(node, "handlers", []):
                yield from _top(handler.body)


def _missing(statements: list[ast.stmt], file: str, function: str) -> str | None:
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
    if function in names:
        # Made some other way than by `def`: known when the file runs.
        return None
    functions = sorted(node.name for node in statements if isinstance(node, _Function))
    alike = difflib.get_close_matches(function, functions, 1)
    hint = f"; did you mean `{alike[0]}`?" if alike else f"; it has {_listed(functions)}" if functions else ""
    return f"{file}: there is no function `{function}`{hint}"


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


if __name__ == "__main__":
    wrong = check(Path(sys.argv[1]).read_bytes(), *sys.argv[1:4])
    if wrong is not None:
        sys.stdout.write(wrong)
