"""State in, state and outputs out: what the processor does with one symbol's raw records.

Nothing here does I/O. The caller hands records in the order of the log, keeps ``SymbolState`` between
calls, and commits state and outputs in one step.
"""

import msgspec

from ingestion.pipeline.closing import Minutes
from ingestion.pipeline.enrich import enrich
from ingestion.pipeline.holdings import Holdings, Verdict
from ingestion.pipeline.records import (
    HISTORY,
    Asked,
    CandleRecord,
    Cause,
    CoverageEvent,
    CoverageKind,
    DeadLetter,
    Enriched,
    Hole,
    Joined,
    Kline,
    Live,
    Lost,
    Proved,
    RawRecord,
    Reason,
    Trade,
    Unwatch,
    Want,
)
from markets.types import MINUTE_MS, Asset

# The source of trades that REST brought; only they can be the ones that were found to be missing at the end.
REST = "rest"
# Rises when the layout below changes in a way that old bytes do not fit. An unknown version is refused.
STATE_VERSION = 2
# After years of silence the empty minutes come in portions, so that no commit holds them all.
_MOST_CANDLES = 2_000


class UnreadableState(Exception):
    """The stored state was written by another version: refuse to run rather than start empty."""


class SymbolState(msgspec.Struct):
    """Everything the processor knows of a symbol. ``clock``: the feed's clock, which never goes back."""

    symbol: str
    clock: int
    holdings: Holdings
    minutes: Minutes
    newest: tuple[int, int, int] | None = None
    version: int = STATE_VERSION

    @classmethod
    def new(cls, symbol: str) -> "SymbolState":
        return cls(symbol, 0, Holdings(symbol), Minutes(symbol))


class Outputs(msgspec.Struct):
    """What one commit publishes. ``enriched`` pairs each record with the place of its trade in the input."""

    enriched: list[tuple[int, Enriched]] = []
    candles: list[CandleRecord] = []
    coverage: list[CoverageEvent] = []
    klines: list[Kline] = []
    dead_letters: list[DeadLetter] = []
    duplicates: int = 0


# JSON, because msgpack has no integers above 64 bits: a minute's volume of a coin traded by the billion needs more.
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SymbolState)


def dump_state(state: SymbolState) -> bytes:
    """The state as bytes for the log."""
    return _encoder.encode(state)


def load_state(data: bytes) -> SymbolState:
    """The state from its bytes. Raises UnreadableState when another version wrote them."""
    try:
        version = msgspec.json.decode(data, type=_Versioned).version
        if version == STATE_VERSION:
            return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableState(f"the processor's state cannot be read: {error}") from error
    raise UnreadableState(f"the processor's state has version {version}, this program reads {STATE_VERSION}")


class _Versioned(msgspec.Struct):
    version: int


class SymbolProcessor:
    """Applies a symbol's records to its state, one after the other, and collects what comes out.

    It changes the state it was given: after a failed commit throw both away and load the state again.
    """

    def __init__(self, state: SymbolState, asset: Asset, outputs: Outputs) -> None:
        self.state = state
        self._asset = asset
        self._out = outputs

    def apply(self, index: int, record: RawRecord, frame: bytes, origin: str) -> None:
        """Take one record; ``frame`` and ``origin`` are its bytes and its place, for the dead letters."""
        if isinstance(record, Trade):
            self._trade(index, record, frame, origin)
        elif isinstance(record, Kline):
            self._kline(record)
        else:
            self._statement(record)
        if self._has_reached_an_end():
            self._advance()

    def _has_reached_an_end(self) -> bool:
        """Cheap test before the closing rules are asked: nothing can close while the first open minute runs."""
        minutes = self.state.minutes
        closed_to = minutes.closed_to
        return closed_to is not None and (self.state.clock >= closed_to + MINUTE_MS or closed_to in minutes.klines)

    def _trade(self, index: int, trade: Trade, frame: bytes, origin: str) -> None:
        state = self.state
        clock = max(state.clock, trade.trade_time, trade.event_time or 0)
        behind = state.holdings.behind
        verdict, events = state.holdings.accept(trade.trade_id, trade.trade_time, trade.last_id, clock)
        if verdict is Verdict.DUPLICATE:
            self._out.duplicates += 1
            return
        if verdict is Verdict.BEFORE_COVERAGE:
            self._dead(Reason.BEFORE_COVERAGE, f"trade {trade.trade_id}", frame, origin)
            return
        if behind is not None and verdict is Verdict.NEW:
            events = [*events, *self._catch_up(trade, clock)]
        state.clock = clock
        if events:
            self._tell(events)
        # What was lost after it had been taken is in its minute already, open or closed.
        again = verdict is Verdict.FILLED and events[0].cause == Cause.LOST
        late = again or self._place(trade)
        self._out.enriched.append((index, enrich(trade, self._asset, clock, late)))

    def _catch_up(self, trade: Trade, clock: int) -> list[CoverageEvent]:
        """A trade above the newest while the end was behind: REST brings what was missing, or the stream goes on."""
        holdings = self.state.holdings
        newest = self.state.newest
        if trade.source != REST:
            holdings.behind = None
            return []
        return holdings.catch_up(trade.trade_id, newest[1] if newest else trade.trade_time, trade.trade_time, clock)

    def _place(self, trade: Trade) -> bool:
        """Put the trade into its minute; True when that minute was closed before (the trade is late)."""
        minutes, time = self.state.minutes, trade.trade_time
        if trade.is_invalid:
            return minutes.closed_to is not None and time < minutes.closed_to
        newest = self.state.newest
        if newest is None or trade.trade_id > newest[0]:
            self.state.newest = (trade.trade_id, time, trade.price)
        if minutes.add(trade):
            return False
        minutes.note_price(trade)
        # The trade just before a segment only gives the price that it starts from.
        return self.state.holdings.segment_at(time) is not None

    def _tell(self, events: list[CoverageEvent]) -> None:
        """Publish coverage events; where a segment ends or begins, the minutes follow."""
        for event in events:
            self._out.coverage.append(event)
            if event.kind == CoverageKind.SEGMENT_CLOSED and event.to_time is not None:
                self._publish(self.state.minutes.finish(self.state.holdings, event.to_time, self.state.clock))
            elif event.kind == CoverageKind.SEGMENT_OPENED:
                segment = self.state.holdings.open_segment()
                if segment is not None and event.from_time is not None and segment.hi < segment.lo + 1:
                    self.state.minutes.start(event.from_time)

    def _kline(self, kline: Kline) -> None:
        state = self.state
        state.clock = max(state.clock, kline.event_time)
        if kline.closed and kline.interval == "1m":
            stored, verdicts, behind = state.minutes.take_kline(kline, state.holdings, state.clock)
            self._out.klines.append(stored)
            self._publish((verdicts, behind))

    def _statement(self, record: Want | Joined | Asked | Hole | Proved | Unwatch | Lost) -> None:
        state = self.state
        if not _precedes_its_frames(record):
            state.clock = max(state.clock, record.event_time)
        holdings, clock = state.holdings, state.clock
        match record:
            case Joined():
                holdings.join(record.cause)
            case Want():
                self._tell(holdings.want(record.from_id, record.covered_from, record.cause, clock))
            case Asked():
                self._tell(holdings.asked(record.from_id, record.to_id, record.outcome, clock))
            case Hole():
                self._tell(holdings.declare_hole(record.from_id, record.to_id, record.cause, clock))
            case Proved():
                self._tell(holdings.prove(record.from_id, record.to_id, clock))
            case Lost():
                self._tell(holdings.lose(record.from_id, record.to_id, record.from_time, record.to_time, clock))
            case Unwatch():
                self._tell(holdings.close_segment(clock))

    def _advance(self) -> None:
        room = max(_MOST_CANDLES - len(self._out.candles), 0)
        self._publish(self.state.minutes.advance(self.state.holdings, self.state.clock, room))

    def _publish(self, closed: tuple[list[CandleRecord], list[CoverageEvent]]) -> None:
        self._out.candles += closed[0]
        self._out.coverage += closed[1]
        if any(event.kind == CoverageKind.TAIL_BEHIND for event in closed[1]):
            self.state.holdings.fall_behind(self.state.clock)

    def _dead(self, reason: Reason, detail: str, frame: bytes, origin: str) -> None:
        self._out.dead_letters.append(DeadLetter(reason, detail, origin, frame, self.state.clock, self.state.symbol))

    def live(self) -> Live:
        """Where the symbol stands now: the record of ``candles_live`` of this commit."""
        state = self.state
        forming, pending = state.minutes.forming(state.clock)
        newest = state.newest or (None, None, None)
        segment = state.holdings.open_segment()
        return Live(
            state.symbol,
            state.clock,
            forming,
            state.minutes.closed_to,
            newest[0],
            newest[1],
            newest[2],
            state.minutes.last_close,
            pending,
            None if segment is None else segment.covered_from,
        )


def _precedes_its_frames(record: RawRecord) -> bool:
    """True of what is logged ahead of frames that were heard before: its time must not close a minute that they are in,
    or in which the first of them will show a gap."""
    return isinstance(record, Joined) or (isinstance(record, Want) and record.cause in HISTORY)


def condense(events: list[CoverageEvent]) -> list[CoverageEvent]:
    """The same story in fewer words: neighbouring fills are one event, and a gap within one minute that was
    opened and wholly filled within the batch is not told at all."""
    joined: list[CoverageEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        if last is not None and _continues(last, event):
            joined[-1] = msgspec.structs.replace(
                last, to_id=event.to_id, to_time=event.to_time, known_at=event.known_at
            )
        else:
            joined.append(event)
    return _without_passing_gaps(joined)


def _continues(last: CoverageEvent, event: CoverageEvent) -> bool:
    return (
        last.kind == event.kind
        and event.kind in _FILLS
        and last.symbol == event.symbol
        and last.to_id is not None
        and event.from_id == last.to_id + 1
        and (event.cause, event.gap, event.opened_at) == (last.cause, last.gap, last.opened_at)
    )


_FILLS = frozenset((CoverageKind.GAP_CLOSED, CoverageKind.TAIL_CLOSED))
# What changes nothing of what is known to be missing.
_NO_CHANGE = frozenset((CoverageKind.TAIL_BEHIND, CoverageKind.TAIL_CLOSED, CoverageKind.GAP_ASKED))
# A jump of ids in the stream may be frames out of order.
_JUMPS = frozenset((Cause.STREAM, Cause.DISCONNECT, Cause.OURS))


def _without_passing_gaps(events: list[CoverageEvent]) -> list[CoverageEvent]:
    passing: set[int] = set()
    opened: dict[tuple[str, int | None, int | None], int] = {}
    is_retold = False
    for place, event in enumerate(events):
        key = (event.symbol, event.from_id, event.to_id)
        if event.kind == CoverageKind.GAP_OPENED:
            if not is_retold and _may_pass(event):
                opened[key] = place
            continue
        is_retold = False
        if event.kind == CoverageKind.GAP_CLOSED:
            start = opened.pop(key, None)
            passing |= set() if start is None else {start, place}
        elif event.kind not in _NO_CHANGE:
            # What a hole leaves of a gap is told again right after it: that is no gap that began here.
            opened.clear()
            is_retold = event.kind == CoverageKind.HOLE
    return [event for place, event in enumerate(events) if place not in passing]


def _may_pass(gap: CoverageEvent) -> bool:
    """True when no whole minute can lie in the gap: its closing tells which minutes to make again."""
    return (
        gap.cause in _JUMPS
        and gap.from_time is not None
        and gap.to_time is not None
        and gap.from_time // MINUTE_MS == gap.to_time // MINUTE_MS
    )
