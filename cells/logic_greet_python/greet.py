"""The cell logic.greet in Python: turns a name into a greeting."""

from dataclasses import dataclass

from cbs import CellError, Context, cell


@dataclass
class Name:
    name: str


@dataclass
class Greeting:
    text: str


@cell("logic.greet")
async def greet(whom: Name, ctx: Context) -> Greeting:
    # `config: { shy: true }` fails the first attempt of every call, to show a retry.
    if ctx.config.get("shy") and ctx.attempt == 1:
        ctx.span.event("too shy", attempt=ctx.attempt)
        raise CellError("greeting.shy", "too shy to greet at the first attempt", retryable=True)
    return Greeting(f"Hello, {whom.name}!")
