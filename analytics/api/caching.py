"""ETag and Cache-Control: a closed range of the past changes only when a candle is corrected."""

import hashlib
from typing import Any, Final

import msgspec
from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

# Proved by the exchange's own candles, so it will stay; everything else must be asked again.
_SETTLED: Final = "public, max-age=3600"
_OPEN: Final = "no-cache"
# What was known at an earlier time does not change any more. Not for longer, because another store may be served at the
# same address tomorrow (a demo made anew, another exchange), and its past is another one.
_FINAL: Final = "public, max-age=3600, immutable"
# What moves with the clock and the walk, and says nothing of the range.
_MOVING: Final = frozenset(("feed_time", "stale_s"))


def answer(
    request: Request,
    body: dict[str, Any],
    *,
    closed: bool,
    settled: bool,
    immutable: bool = False,
    headers: dict[str, str] | None = None,
) -> Response:
    """The response; of a ``closed`` range with its ETag, or 304 when the caller has it already.

    ``settled``: it will hardly change, ``immutable``: never.
    """
    sent = dict(headers or {})
    sent["Cache-Control"] = _FINAL if closed and immutable else _SETTLED if closed and settled else _OPEN
    if not closed:
        return Response(body, headers=sent)
    sent["ETag"] = _tag(body)
    known = parse_etags(request.headers.get("If-None-Match", ""))
    if "*" in known or sent["ETag"] in known or sent["ETag"].removeprefix("W/") in known:
        return Response(status=304, headers=sent)
    return Response(body, headers=sent)


def _tag(body: dict[str, Any]) -> str:
    stable = {name: value for name, value in body.items() if name not in ("cursor", "next")}
    coverage = stable.get("coverage") or {}
    stable["coverage"] = {name: value for name, value in coverage.items() if name not in _MOVING}
    stable["has_next"] = body.get("next") is not None
    digest = hashlib.blake2b(msgspec.json.encode(stable), digest_size=12).hexdigest()
    return f'W/"{digest}"'
