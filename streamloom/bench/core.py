"""From the bytes of trades to exact windows, each trade once; and what it costs to know which were there."""

from collections.abc import Iterator, Mapping, Sequence

from ingestion.log import codec
from ingestion.pipeline.holdings import Holdings, Verdict
from ingestion.pipeline.records import Candle, Trade
from ingestion.pipeline.window import Bucket
from markets.types import MINUTE_MS
from streamloom.bench import naive, views
from streamloom.bench.contest import Case, Contestant
from streamloom.bench.material import Material


def cases(material: Material) -> Iterator[Case]:
    yield Case(
        f"core: bytes to exact windows ({material.name})",
        len(material.untidy),
        "trade",
        Contestant(lambda _: naive_windows(material.untidy), lambda _, made: views.of_naive_candles(made.candles)),
        Contestant(lambda _: fast_windows(material.untidy, material.first_ids), lambda _, made: views.of_candles(made)),
    )


def memory(material: Material) -> Iterator[Case]:
    """What is kept in memory to know each id that was seen."""
    keys = [(trade.symbol, trade.trade_id, trade.trade_time, trade.last_id) for trade in material.trades]
    yield Case(
        f"dedup: memory ({material.name})",
        len(keys),
        "trade",
        # A decoder makes a new id object for each message; an int that is kept by the list would cost nothing.
        Contestant(
            lambda _: {(symbol, int(str(trade_id))) for symbol, trade_id, *_ in keys}, lambda _, seen: len(seen)
        ),
        Contestant(lambda _: _hold(keys), lambda _, held: sum(map(_held, held.values()))),
        measures="memory",
    )


def naive_windows(values: Sequence[bytes]) -> naive.Windows:
    windows = naive.Windows()
    naive.for_each(values, windows.on_trade)
    return windows


def fast_windows(values: Sequence[bytes], first_ids: Mapping[str, int]) -> list[Candle]:
    """The processor's own decoding, holdings and buckets."""
    holdings = {symbol: _wanted(symbol, first) for symbol, first in first_ids.items()}
    buckets: dict[tuple[str, int], Bucket] = {}
    decode = codec.raw
    for value in values:
        trade = decode(value)
        if not isinstance(trade, Trade):
            continue
        verdict, _ = holdings[trade.symbol].accept(trade.trade_id, trade.trade_time, trade.last_id, trade.trade_time)
        if verdict is Verdict.DUPLICATE:
            continue
        open_time = trade.trade_time - trade.trade_time % MINUTE_MS
        bucket = buckets.get((trade.symbol, open_time))
        if bucket is None:
            bucket = buckets[trade.symbol, open_time] = Bucket(open_time)
        bucket.add(trade)
    return [bucket.candle(symbol) for (symbol, _), bucket in buckets.items()]


def _wanted(symbol: str, first_id: int) -> Holdings:
    holdings = Holdings(symbol)
    holdings.want(first_id, 0, "start", 0)
    return holdings


def _hold(keys: Sequence[tuple[str, int, int, int]]) -> dict[str, Holdings]:
    held: dict[str, Holdings] = {}
    for symbol, trade_id, time, last_id in keys:
        if symbol not in held:
            held[symbol] = _wanted(symbol, trade_id)
        held[symbol].accept(trade_id, time, last_id, time)
    return held


def _held(holdings: Holdings) -> int:
    return sum(
        segment.hi - segment.lo + 1 - sum(gap.to_id - gap.from_id + 1 for gap in segment.gaps)
        for segment in holdings.segments
    )
