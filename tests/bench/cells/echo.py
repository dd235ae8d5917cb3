"""A cell that reads JSON and writes it anew, as a person would write it."""

from msgspec import Struct

from cbs import cell


class Text(Struct):
    """What it takes and gives."""

    text: str


@cell("bench.python")
async def echo(text: Text) -> Text:
    """Give back what came."""
    return text
