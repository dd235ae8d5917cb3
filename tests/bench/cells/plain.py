"""The same cell without a decorator, so that specs can give it many names."""

from msgspec import Struct


class Text(Struct):
    """What it takes and gives."""

    text: str


async def echo(text: Text) -> Text:
    """Give back what came."""
    return text
