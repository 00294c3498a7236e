"""Cursors in queries, and the way to the next page."""

from typing import Any
from urllib.parse import urlencode

from rest_framework.request import Request

from analytics.api.problems import Problem
from analytics.reading import cursor
from analytics.reading.cursor import BadCursor, Cursor


def read_cursor(query: dict[str, Any], symbol: str, channel: str, interval: str | None = None) -> Cursor | None:
    """The cursor of a query; None without. Raises the problem ``bad_cursor``."""
    text = query.get("cursor")
    if text is None:
        return None
    try:
        return cursor.decode(text, symbol=symbol, channel=channel, interval=interval)
    except BadCursor as error:
        raise Problem(
            "bad_cursor", str(error), param="cursor", allowed="a cursor of the same symbol and channel"
        ) from error


def after(place: int, seq: int, before: Cursor | None, like: Cursor) -> str:
    """The cursor after an answer; a walk over pages keeps the seq of its first page."""
    kept = seq if before is None else before.seq
    return cursor.encode(Cursor(like.symbol, like.channel, like.interval, place, kept, like.as_of))


def link_to_next(request: Request, next_cursor: str | None) -> dict[str, str]:
    """The Link header that names the next page; empty when there is none now."""
    if next_cursor is None:
        return {}
    query = {**request.query_params.dict(), "cursor": next_cursor}
    address = request.build_absolute_uri(f"{request.path}?{urlencode(query)}")
    return {"Link": f'<{address}>; rel="next"'}
