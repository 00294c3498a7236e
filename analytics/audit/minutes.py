"""One closed minute: what is stored beside what follows from the stored trades and from the exchange's kline. Pure."""

from collections.abc import Iterator

import msgspec

from analytics.audit.findings import Check, Difference, Remedy
from ingestion.pipeline.digest import FIELDS
from ingestion.pipeline.records import Candle, Kline
from ingestion.pipeline.verdict import CERTIFIED, DISPUTED, compare, is_whole
from markets.types import Interval, to_text

_SCALED = frozenset(
    ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
    + ("quote_rounding",)
)
_PRICES = frozenset(("open", "high", "low", "close"))


class Minute(msgspec.Struct, frozen=True):
    """What is known of a closed minute.

    ``stored``: its row; ``folded``: the candle of its stored trades (None: it has none); ``verdict``: the newest one
    on the stored revision. ``covered``: wholly inside segments; ``touched``: an id of a gap or hole may belong to
    it; ``waits``: something of it is still to be stored or rebuilt.
    """

    symbol: str
    open_time: int
    stored: Candle | None
    folded: Candle | None
    verdict: str | None
    kline: Kline | None
    covered: bool
    touched: bool
    waits: bool

    @property
    def against(self) -> dict[str, list[str]]:
        """How the stored candle differs from the exchange's; {} also when one of the two is not known."""
        return {} if self.stored is None or self.kline is None else compare(self.stored, self.kline)

    @property
    def is_uncertified(self) -> bool:
        """True when it equals the exchange's and no verdict says so yet."""
        if self.stored is None or self.kline is None or self.waits or self.verdict is not None:
            return False
        return not self.against and is_whole(self.stored, self.kline)


def differences(minute: Minute) -> Iterator[Difference]:
    """What is wrong with the minute. Nothing while something of it is on its way."""
    if minute.waits:
        return
    row = _row(minute)
    if row is not None:
        yield row
    if minute.stored is not None:
        yield from _verdict(minute, minute.stored)


def _row(minute: Minute) -> Difference | None:
    if minute.stored is None:
        return _without_row(minute)
    if minute.folded is None:
        if not minute.stored.agg_trades:
            return None
        return _told(minute, Check.CANDLES, "the candle has trades, and none of them is stored", Remedy.NONE)
    fields = unequal(minute.stored, minute.folded)
    if not fields or not minute.covered and minute.stored.revision < minute.folded.revision:
        # Where coverage begins or ends inside the minute, a trade may be kept for its price alone.
        return None
    if minute.stored.revision > minute.folded.revision:
        return _told(minute, Check.CANDLES, "trades of the candle are not stored", Remedy.NONE, fields)
    return _told(minute, Check.CANDLES, "the candle is not what its stored trades make", Remedy.RESTATE, fields)


def _without_row(minute: Minute) -> Difference | None:
    if minute.touched or not minute.covered:
        return None
    if minute.folded is not None:
        return _told(minute, Check.CANDLES, "trades are stored, and there is no candle of them", Remedy.RESTATE)
    if minute.kline is not None and minute.kline.trades:
        what = "covered without a gap and without a trade, but the exchange counted trades"
        return _told(minute, Check.KLINES, what, Remedy.REBUILD)
    return _told(
        minute, Check.CANDLES, "covered without a gap and without a trade, but no candle says so", Remedy.RESTATE
    )


def _verdict(minute: Minute, stored: Candle) -> Iterator[Difference]:
    fields = minute.against
    if minute.kline is None:
        if minute.verdict == CERTIFIED:
            yield _told(minute, Check.VERDICTS, "certified, but the exchange's kline is not stored", Remedy.REBUILD)
    elif not fields:
        if minute.verdict == DISPUTED and not minute.touched and is_whole(stored, minute.kline):
            yield _told(minute, Check.VERDICTS, "disputed, but it equals the exchange's", Remedy.REBUILD)
    elif minute.verdict == CERTIFIED:
        yield _told(minute, Check.VERDICTS, "certified, but it differs from the exchange's", Remedy.REBUILD, fields)
    elif minute.verdict is None and minute.covered and not minute.touched:
        yield _told(minute, Check.KLINES, "it differs from the exchange's and nobody says so", Remedy.REBUILD, fields)


def unequal(stored: Candle, should: Candle) -> dict[str, list[str]]:
    """The exact fields that differ, as {field: [stored, what it should be]}; prices of empty candles are not exact."""
    names = FIELDS if stored.agg_trades or should.agg_trades else [name for name in FIELDS if name not in _PRICES]
    return {
        name: [_text(name, mine), _text(name, other)]
        for name in names
        if (mine := getattr(stored, name)) != (other := getattr(should, name))
    }


def _text(name: str, value: int | str | None) -> str:
    return to_text(value) if name in _SCALED and isinstance(value, int) else str(value)


def _told(
    minute: Minute, check: Check, what: str, remedy: Remedy, fields: dict[str, list[str]] | None = None
) -> Difference:
    return Difference(check, minute.symbol, what, remedy, Interval.M1.value, minute.open_time, fields=fields)
