"""The forms of texts that stand for times, durations, ids, numbers and bytes: RFC 3339, ISO 8601, base64.

Python's own readers take more than these forms, and not the same in every version.
"""

from __future__ import annotations

import base64
import datetime
import fractions
import math
import re
import uuid
from typing import Any

_DATE = r"\d{4}-\d\d-\d\d"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_FRACTION = r"(?:\.(\d+))?"
_ZONE = r"([Zz]|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?"

_date = re.compile(_DATE, re.ASCII).fullmatch
_datetime = re.compile(rf"({_DATE})[Tt ]({_CLOCK}){_FRACTION}{_ZONE}", re.ASCII).fullmatch
_time = re.compile(rf"()({_CLOCK}){_FRACTION}{_ZONE}", re.ASCII).fullmatch
_uuid = re.compile(
    r"[0-9A-Fa-f]{8}(-?)[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{12}", re.ASCII
).fullmatch
_integer = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII).fullmatch
_number = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII).fullmatch
_part = r"(?:(\d+(?:\.\d+)?){})?"
_duration = re.compile(
    rf"([+-]?)P(?!$){_part.format('D')}(?:T(?!$){_part.format('H')}{_part.format('M')}{_part.format('S')})?",
    re.ASCII | re.IGNORECASE,
).fullmatch

_MICROSECOND = datetime.timedelta(microseconds=1)
_UNITS = (86_400, 3_600, 60, 1)


def read_date(text: str) -> datetime.date:
    """Read ``2026-11-20``. Like all here, raises ValueError or ArithmeticError for another form."""
    if _date(text) is None:
        raise ValueError(text)
    return datetime.date.fromisoformat(text)


def read_datetime(text: str) -> datetime.datetime:
    """Read ``2026-11-20T10:00:00.5Z``; nanoseconds are rounded."""
    found = _datetime(text)
    if found is None:
        raise ValueError(text)
    return _moment(found, found[1])


def read_time(text: str) -> datetime.time:
    """Read ``10:00:00.5Z``; nanoseconds are rounded."""
    found = _time(text)
    if found is None:
        raise ValueError(text)
    return _moment(found, "2000-01-01").timetz()


def _moment(found: re.Match[str], day: str) -> datetime.datetime:
    digits = (found[3] or "").ljust(7, "0")
    moment = datetime.datetime.fromisoformat(f"{day}T{found[2]}.{digits[:6]}{(found[4] or '').upper()}")
    return moment + _MICROSECOND if digits[6] >= "5" else moment


def read_duration(text: str) -> datetime.timedelta:
    """Read ``P1DT2H3M4.5S``: only the last part may have a fraction."""
    found = _duration(text)
    if found is None:
        raise ValueError(text)
    parts = [(part, unit) for part, unit in zip(found.groups()[1:], _UNITS, strict=True) if part]
    if any("." in part for part, _ in parts[:-1]):
        raise ValueError(text)
    seconds = sum((fractions.Fraction(part) * unit for part, unit in parts), fractions.Fraction())
    microseconds = math.floor(seconds * 1_000_000 + fractions.Fraction(1, 2))
    return datetime.timedelta(microseconds=-microseconds if found[1] == "-" else microseconds)


def write_duration(value: datetime.timedelta) -> str:
    """Write ``P1DT3600.5S``: days and seconds."""
    sign, value = ("-", -value) if value < datetime.timedelta() else ("", value)
    seconds = f"{value.seconds}.{value.microseconds:06}".rstrip("0").rstrip(".")
    days = f"{value.days}D" if value.days else ""
    return f"{sign}P{days or ('0D' if seconds == '0' else '')}{'' if seconds == '0' else f'T{seconds}S'}"


def write_time(value: datetime.datetime | datetime.date | datetime.time) -> str:
    """Write a date, a time or both; UTC is ``Z``, and an offset has no seconds."""
    offset = value.utcoffset() if isinstance(value, datetime.datetime | datetime.time) else None
    if offset is None or not isinstance(value, datetime.datetime | datetime.time):
        return value.isoformat()
    local = value.replace(tzinfo=None).isoformat()
    sign, offset = ("-", -offset) if offset < datetime.timedelta() else ("+", offset)
    hours, minutes = divmod((offset.seconds + 29) // 60, 60)
    return f"{local}{sign}{hours:02}:{minutes:02}" if hours or minutes else f"{local}Z"


def read_uuid(text: str) -> uuid.UUID:
    """Read a UUID, with its dashes or without."""
    if _uuid(text) is None:
        raise ValueError(text)
    return uuid.UUID(text)


def read_bytes(text: str) -> bytes:
    """Read base64."""
    return base64.b64decode(text, validate=True)


def read_integer(text: str) -> int:
    """Read an integer as JSON writes it: no plus, no blank, no zero before it."""
    if _integer(text) is None:
        raise ValueError(text)
    return int(text)


def read_float(text: str) -> Any:
    """Read a number as JSON writes it; infinite where `float` cannot hold it."""
    if _number(text) is None:
        raise ValueError(text)
    return float(text)
