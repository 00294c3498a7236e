"""Our candle beside the exchange's own: equal, different, or no proof."""

from ingestion.pipeline.records import Candle, Kline
from markets.types import to_text

CERTIFIED = "certified"
DISPUTED = "disputed"
PARTIAL = "partial"
CLOSED = "closed"
# What comes of a comparison; the others say that there was none.
VERDICTS = frozenset((CERTIFIED, DISPUTED))
_AMOUNTS = ("open", "high", "low", "close", "volume", "taker_buy_volume")
# The exchange's sums of single fills may be smaller than ours (quote_rounding), never larger.
_QUOTE_AMOUNTS = ("quote_volume", "taker_buy_quote_volume")


def compare(candle: Candle, kline: Kline) -> dict[str, list[str]]:
    """The fields that differ, as {field: [ours, the exchange's]}; {} when the candle equals the kline.

    Quote amounts may exceed the exchange's by ``quote_rounding``, nothing else may differ. Two empty
    candles are equal whatever their flat price says: it is derived on read.
    """
    if not candle.agg_trades and not kline.trades:
        return {}
    difference = {
        field: [to_text(ours), to_text(theirs)]
        for field in _AMOUNTS
        if (ours := getattr(candle, field)) != (theirs := getattr(kline, field))
    }
    for field in _QUOTE_AMOUNTS:
        ours, theirs = getattr(candle, field), getattr(kline, field)
        if not 0 <= ours - theirs <= candle.quote_rounding:
            difference[field] = [to_text(ours), to_text(theirs)]
    if candle.trades != kline.trades:
        difference["trades"] = [str(candle.trades), str(kline.trades)]
    return difference


def is_whole(candle: Candle, kline: Kline) -> bool:
    """True when a kline that the candle equals misses no fill itself, so that being equal to it proves something.

    The exchange numbers fills without gaps, so its count is last - first + 1. A kline from a source that lacks fills
    itself (a recording with holes) is no evidence. REST rows carry no ids (-1): then the candle's own speak for both.
    """
    if not kline.trades or candle.first_fill_id is None or candle.last_fill_id is None:
        return True
    first, last = kline.first_fill_id, kline.last_fill_id
    if first < 0:
        first, last = candle.first_fill_id, candle.last_fill_id
    return kline.trades == last - first + 1


def state_of(candle: Candle, kline: Kline, gap_touches: bool, covered: bool = True) -> str:
    """What the comparison makes of a closed candle: certified, disputed, partial or closed.

    With an open gap in its bucket a different candle is not disputed: it waits for the repair. So does one that equals
    a kline without fill ids (REST): that may have been asked for too early and lack the same trades.
    """
    difference = compare(candle, kline)
    may_be_early = gap_touches and kline.trades > 0 and kline.first_fill_id < 0
    if not difference and is_whole(candle, kline) and not may_be_early:
        return CERTIFIED
    if not covered:
        return PARTIAL
    return DISPUTED if difference and not gap_touches else CLOSED
