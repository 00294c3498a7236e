"""A cursor: a place in an answer and in the log, as one opaque text that REST, export and sockets share."""

import base64
import binascii
from typing import Final

import msgspec

_OFFSET_BITS: Final = 40
MAX_LENGTH: Final = 200

CANDLES: Final = "candles"
TRADES: Final = "trades"
INDICATORS: Final = "indicators"


class BadCursor(ValueError):
    """The text is no cursor, or one of another symbol, channel or interval."""


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a reader of one symbol's channel goes on.

    ``place``: the first open time (candles, indicators) or trade id (trades) that the reader does not have.
    ``seq``: the place in the log from which on everything newer is found (``seq_of``).
    ``interval``: null for trades. ``as_of``: the time that a walk over pages of the past speaks of; null: now.
    """

    symbol: str
    channel: str
    interval: str | None
    place: int
    seq: int
    as_of: int | None = None


def seq_of(epoch: int, offset: int) -> int:
    """The sequence number of a log record: it rises with the offset, and with each remake of the topic."""
    return epoch << _OFFSET_BITS | offset


def split_seq(seq: int) -> tuple[int, int]:
    """The (epoch, offset) of a sequence number.

    >>> split_seq(seq_of(3, 17))
    (3, 17)
    """
    return seq >> _OFFSET_BITS, seq & ((1 << _OFFSET_BITS) - 1)


def encode(cursor: Cursor) -> str:
    """The URL-safe text of a cursor."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).decode().rstrip("=")


def decode(text: str, *, symbol: str, channel: str, interval: str | None = None) -> Cursor:
    """The cursor that a text stands for, which must be one of this symbol, channel and interval.

    Raises BadCursor, whose text says what is wrong in words for the caller.
    """
    cursor = _read(text)
    if (cursor.symbol, cursor.channel, cursor.interval) != (symbol, channel, interval):
        owner = " ".join(filter(None, (cursor.symbol, cursor.channel, cursor.interval)))
        raise BadCursor(f"The cursor belongs to {owner}.")
    return cursor


def _read(text: str) -> Cursor:
    if len(text) > MAX_LENGTH or not text.isascii():
        raise BadCursor("This is not a cursor of this API.")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.msgpack.decode(packed, type=Cursor)
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadCursor("This is not a cursor of this API.") from error
    if cursor.place < 0 or cursor.seq < 0 or (cursor.as_of or 0) < 0:
        raise BadCursor("This is not a cursor of this API.")
    return cursor
