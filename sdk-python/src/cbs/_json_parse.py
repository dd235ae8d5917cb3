"""JSON text to JSON's own types, by the standard library, with one message for each mistake."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Self

from cbs._errors import CellError, bad_request


class ExactFloat(float):
    """A number with a fraction or an exponent, with all the digits that it was written with."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Read it."""
        number = super().__new__(cls, text)
        number.text = text
        return number


class _RangeError(ValueError):
    """A number that Python's `float` cannot hold."""


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _RangeError
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_read: Callable[[str], Any] = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite).decode
_read_exact: Callable[[str], Any] = json.JSONDecoder(parse_constant=_no_constant, parse_float=ExactFloat).decode


def parse(payload: bytes, *, exact: bool = False) -> Any:
    """Read a payload; an empty one is null. With ``exact``, numbers with a fraction are `ExactFloat`.

    Raises `CellError` ``bad-request`` for what is no JSON.
    """
    if not payload:
        return None
    try:
        value = (_read_exact if exact else _read)(payload.decode())
        if b"\\ud" in payload or b"\\uD" in payload:
            # Half of a surrogate pair is no text, and nobody could write it again.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _malformed("half of a surrogate pair") from None
    except UnicodeDecodeError:
        raise bad_request(".", "it is not UTF-8") from None
    except RecursionError:
        raise too_deep() from None
    except _RangeError:
        raise out_of_range() from None
    except json.JSONDecodeError as error:
        if payload.startswith(b"\xef\xbb\xbf"):
            raise _malformed("it begins with a byte order mark") from None
        raise _malformed(f"{error.msg[:1].lower()}{error.msg[1:]} (character {error.pos})") from None
    except ValueError as error:
        if "digits" in str(error):  # Python's own limit of an integer's length
            raise out_of_range() from None
        raise _malformed(str(error)) from None
    return value


def too_deep() -> CellError:
    """Make the error for what is nested deeper than Python can read."""
    return _malformed("it is nested too deeply")


def out_of_range() -> CellError:
    """Make the error for a number that Python cannot hold."""
    return bad_request(".", "number out of range")


def _malformed(why: str) -> CellError:
    return bad_request(".", f"JSON is malformed: {why}")
