"""What must hold at the end of every round. Pure: facts in, findings out; no finding means that all is well."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ingestion.binance.simulator.book import Spans
from ingestion.log.topics import PRICES
from ingestion.pipeline.records import Trade
from markets.types import HOUR_MS
from streamloom.faults.facts import Found, Key, Step
from streamloom.faults.oracle import Json

_SHOWN: Final = 5
# The exchange's candles are no records of ours: the same one may be told twice.
_MAY_REPEAT: Final = tuple(topic.name for topic in PRICES.values())


class Kind(StrEnum):
    """The columns of the table."""

    LOST = "lost"
    DOUBLED = "doubled"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be. ``invariant``: the name of what is broken; ``count``: how many of them."""

    kind: Kind
    invariant: str
    count: int
    detail: str


def judge(found: Found, last_ids: Mapping[str, int], holes: Mapping[str, Spans] | None = None) -> list[Finding]:
    """All findings of log, tables and places. ``last_ids``: everything up to there must have come; ``holes``: the ids
    that never were."""
    never = {symbol: _ids_of(spans) for symbol, spans in (holes or {}).items()}
    checks: Sequence[Callable[[], Iterable[Finding]]] = (
        lambda: _ids(found, last_ids, never),
        lambda: _holes(found, last_ids, never),
        lambda: _rows(found),
        lambda: _places(found),
        lambda: _accounts(found, last_ids),
        lambda: _revisions(found),
        lambda: _closings(found),
        lambda: _hours(found),
    )
    return [finding for check in checks for finding in check()]


def some(items: Iterable[object]) -> str:
    """The first few of many."""
    listed = sorted(items, key=str)
    return f"{listed[:_SHOWN]}{' …' if len(listed) > _SHOWN else ''}"


def _ids_of(spans: Spans) -> set[int]:
    return {trade_id for low, high in spans for trade_id in range(low, high + 1)}


def _ids(found: Found, last_ids: Mapping[str, int], never: Mapping[str, set[int]]) -> Iterator[Finding]:
    """Every id once, in the log and in the table."""
    for symbol, last in last_ids.items():
        due = set(range(_first(found, symbol), last + 1)) - never.get(symbol, set())
        for where, ids in (("the log", found.ids(symbol)), ("the table", found.stored_ids(symbol))):
            yield from _each_once(symbol, where, ids, due)


def _holes(found: Found, last_ids: Mapping[str, int], never: Mapping[str, set[int]]) -> Iterator[Finding]:
    """What never was is declared a hole, and nothing else is."""
    for symbol, last in last_ids.items():
        coverage = found.coverage.get(symbol)
        declared = _ids_of([(hole.from_id, hole.to_id) for hole in coverage.holes]) if coverage else set()
        due = {trade_id for trade_id in never.get(symbol, set()) if trade_id <= last}
        if wrong := declared ^ due:
            yield Finding(Kind.WRONG, "a hole is what never was", len(wrong), f"{symbol}: {some(wrong)}")


def _first(found: Found, symbol: str) -> int:
    segments = found.coverage[symbol].segments if symbol in found.coverage else ()
    return min((segment.from_id for segment in segments if segment.from_id is not None), default=0)


def _each_once(symbol: str, where: str, ids: Sequence[int], due: set[int]) -> Iterator[Finding]:
    lost = due - set(ids)
    doubled = [trade_id for trade_id, times in Counter(ids).items() if times > 1]
    if lost:
        yield Finding(Kind.LOST, "every trade is there", len(lost), f"{symbol} in {where}: {some(lost)}")
    if doubled:
        yield Finding(Kind.DOUBLED, "every trade is there once", len(doubled), f"{symbol} in {where}: {some(doubled)}")


def _rows(found: Found) -> Iterator[Finding]:
    """Rows under FINAL = records read, for every topic that goes to a table of its own."""
    for topic, keys in found.logged.items():
        rows = Counter(found.stored[topic])
        lost = set(keys) - set(rows)
        if lost:
            yield Finding(Kind.LOST, "rows = records read", len(lost), f"{topic}: {some(lost)}")
        doubled = [key for key, times in rows.items() if times > 1]
        doubled += [key for key, times in Counter(keys).items() if times > 1 and topic not in _MAY_REPEAT]
        if doubled:
            yield Finding(Kind.DOUBLED, "rows = records read", len(doubled), f"{topic}: {some(doubled)}")


def _places(found: Found) -> Iterator[Finding]:
    """The sink's places go on without gap from 0, and have passed what is there."""
    behind = [place for place, end in found.ends.items() if end and found.places.get(place, 0) < end]
    if behind:
        yield Finding(Kind.LOST, "positions reach the end", len(behind), some(behind))
    bad = list(_bad_steps(found.steps))
    if bad:
        yield Finding(Kind.WRONG, "positions only go forward, without gap", len(bad), some(bad))


def _bad_steps(steps: Iterable[Step]) -> Iterator[Step]:
    reached: dict[Key, int] = {}
    for step in steps:
        key = (step.topic, step.partition)
        if step.was is not None and (step.becomes <= step.was or step.was != reached.get(key, step.was)):
            yield step
        reached[key] = step.becomes


def _accounts(found: Found, last_ids: Mapping[str, int]) -> Iterator[Finding]:
    """Per segment: hi - lo + 1 = distinct ids + missing + holes."""
    for symbol, last in last_ids.items():
        coverage = found.coverage.get(symbol)
        if coverage is None:
            yield Finding(Kind.WRONG, "hi - lo + 1 = distinct + missing + holes", 1, f"{symbol}: nothing is covered")
            continue
        ids = set(found.ids(symbol))
        for segment in coverage.segments:
            low = segment.from_id or 0
            high = max((i for i in ids if i >= low), default=last) if segment.to_id is None else segment.to_id
            span = range(low, high + 1)
            absent = sum(
                max(0, min(high, gap.to_id) - max(low, gap.from_id) + 1) for gap in (*coverage.gaps, *coverage.holes)
            )
            distinct = sum(1 for trade_id in ids if trade_id in span)
            if len(span) != distinct + absent:
                detail = f"{symbol} {low}..{high}: {len(span)} ≠ {distinct} + {absent}"
                yield Finding(Kind.WRONG, "hi - lo + 1 = distinct + missing + holes", 1, detail)


def _revisions(found: Found) -> Iterator[Finding]:
    """Of one candle, the log tells rising revisions only."""
    newest: dict[Key, int] = {}
    fallen = []
    for version in found.versions:
        key = (version.symbol, version.open_time)
        if version.revision < newest.get(key, 0):
            fallen.append(key)
        newest[key] = max(newest.get(key, 0), version.revision)
    if fallen:
        yield Finding(Kind.WRONG, "revisions only rise", len(fallen), some(fallen))


def _closings(found: Found) -> Iterator[Finding]:
    """The processor closes a minute once."""
    times = Counter((version.symbol, version.open_time) for version in found.versions if version.is_close)
    again = [key for key, count in times.items() if count > 1]
    if again:
        yield Finding(Kind.DOUBLED, "a minute closes once", len(again), some(again))


def _hours(found: Found) -> Iterator[Finding]:
    """A kept hour has the trades of its minutes; every hour that is whole is kept."""
    sums: dict[Key, int] = defaultdict(int)
    count: dict[Key, int] = defaultdict(int)
    for (symbol, open_time), trades in found.minutes.items():
        sums[symbol, open_time // HOUR_MS * HOUR_MS] += trades
        count[symbol, open_time // HOUR_MS * HOUR_MS] += 1
    wrong = [f"{key}: {trades} ≠ {sums[key]}" for key, trades in found.hours.items() if trades != sums[key]]
    # The newest whole hour may have closed since the buckets were last seen clean.
    newest = {symbol: max(at for name, at in count if name == symbol) for symbol, _ in count}
    whole = [key for key, minutes in count.items() if minutes == 60 and key[1] < newest[key[0]] - HOUR_MS]
    wrong += [f"{key}: not kept" for key in whole if key not in found.hours]
    if wrong:
        yield Finding(Kind.WRONG, "1h.n = Σ 1m.n", len(wrong), some(wrong))


def judge_socket(
    told: Mapping[tuple[str, int], Json],
    truth: Mapping[str, Sequence[Json]],
    begun: Mapping[str, int],
    repeated: Sequence[Key],
) -> list[Finding]:
    """What a subscriber that came back after each cut was told, against every closed candle since it began."""
    findings = []
    for symbol, candles in truth.items():
        due = [candle for candle in candles if candle["open_time"] >= begun.get(symbol, 0)]
        lost = [candle["open_time"] for candle in due if (symbol, candle["open_time"]) not in told]
        if lost:
            findings.append(Finding(Kind.LOST, "subscribers see every closed candle", len(lost), f"{symbol}: {lost}"))
        heard = [(told[symbol, c["open_time"]], c) for c in due if (symbol, c["open_time"]) in told]
        wrong = [c["open_time"] for mine, c in heard if _is_told_wrong(mine, c)]
        if wrong:
            detail = f"{symbol}: {some(wrong)}"
            findings.append(Finding(Kind.WRONG, "subscribers see every closed candle", len(wrong), detail))
    if repeated:
        findings.append(Finding(Kind.DOUBLED, "subscribers see a record once", len(repeated), some(repeated)))
    return findings


def _is_told_wrong(mine: Json, truth: Json) -> bool:
    """The flat price of an empty minute is derived on read: when a trade before it comes late, it is not told again."""
    derived = () if truth["agg_trades"] else ("open", "high", "low", "close")
    return any(mine[name] != value for name, value in truth.items() if name not in derived)


def judge_candles(
    symbol: str,
    interval: str,
    mine: Sequence[Json],
    truth: Sequence[Json],
    absent: Mapping[int, int] | None = None,
) -> list[Finding]:
    """What ``/candles`` answers for a span, against the oracle. ``absent``: how many ids that never were may belong to
    a bucket, by open time; until the exchange's candle agrees, they are told as missing."""
    served, due = {row["open_time"]: row for row in mine}, {row["open_time"]: row for row in truth}
    lost, more = due.keys() - served.keys(), served.keys() - due.keys()
    repeated = len(mine) - len(served)
    findings = []
    if lost:
        findings.append(Finding(Kind.LOST, "every candle is there", len(lost), f"{symbol} {interval}: {some(lost)}"))
    if more or repeated:
        detail = f"{symbol} {interval}: {some(more)}"
        findings.append(Finding(Kind.DOUBLED, "every candle is there once", len(more) + repeated, detail))
    wrong = [
        what for at in sorted(due.keys() & served.keys()) if (what := _difference(served[at], due[at], absent or {}))
    ]
    if wrong:
        detail = f"{symbol} {interval}: {some(wrong)}"
        findings.append(Finding(Kind.WRONG, "every candle equals the oracle", len(wrong), detail))
    return findings


def _difference(mine: Json, truth: Json, absent: Mapping[int, int]) -> str:
    wrong = {name: (mine[name], value) for name, value in truth.items() if mine[name] != value}
    if mine["missing"] not in (0, absent.get(mine["open_time"], 0)) or mine["state"] not in ("closed", "certified"):
        wrong |= {"state": mine["state"], "missing": mine["missing"]}
    return f"{mine['open_time']}: {wrong}" if wrong else ""


def judge_pages(symbol: str, rows: Sequence[Json], truth: Sequence[Trade], listed: Sequence[Json]) -> list[Finding]:
    """What the pages of ``/trades`` hold, against the exchange's trades and how they must be told (``listed``)."""
    ids = [row["trade_id"] for row in rows]
    findings = list(_each_once(symbol, "/trades", ids, {trade.trade_id for trade in truth}))
    by_id = {row["trade_id"]: row for row in rows}
    wrong = [row["trade_id"] for row in listed if row["trade_id"] in by_id and by_id[row["trade_id"]] != row]
    if wrong:
        findings.append(Finding(Kind.WRONG, "every trade as traded", len(wrong), f"{symbol}: {some(wrong)}"))
    return findings
