"""The vocabulary: every record that travels between the parts, as plain data.

Prices, quantities and quote amounts are integers scaled by 10**8; times are UTC epoch
milliseconds of the feed's clock, except ``ingest_ts`` (the machine's). The bytes of these records
in the log are the business of ``ingestion.log.codec``.
"""

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """Why something was turned away. The value is a metric label: never rename one."""

    NOT_JSON = "not_json"
    NOT_A_TRADE = "not_a_trade"
    MISSING_FIELD = "missing_field"
    BAD_NUMBER = "bad_number"
    IMPOSSIBLE = "impossible"
    UNKNOWN_SYMBOL = "unknown_symbol"
    FUTURE_TIME = "future_time"
    BEFORE_COVERAGE = "before_coverage"
    UNREADABLE_RECORD = "unreadable_record"


class Rejected(msgspec.Struct, frozen=True):
    """Something we will not use, with enough context to replay it by hand."""

    reason: Reason
    detail: str
    frame: bytes


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One aggregate trade. ``first_id == -1``: an id that the exchange declared invalid."""

    symbol: str
    trade_id: int
    price: int
    qty: int
    first_id: int
    last_id: int
    trade_time: int
    is_buyer_maker: bool
    source: str
    ingest_ts: int
    event_time: int | None = None

    @property
    def is_invalid(self) -> bool:
        """True when the exchange took this id back: it is held, but is in no candle and no list."""
        return self.first_id < 0


class Kline(msgspec.Struct, frozen=True, gc=False):
    """A candle as the exchange itself reports it. No trade in it: fill ids -1, ``trades`` 0."""

    symbol: str
    interval: str
    open_time: int
    close_time: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    trades: int
    taker_buy_volume: int
    taker_buy_quote_volume: int
    first_fill_id: int
    last_fill_id: int
    closed: bool
    source: str
    event_time: int
    # True: the processor could not compare it (the candle is gone or was corrected), so a rebuild must.
    recheck: bool = False


class Want(msgspec.Struct, frozen=True, gc=False):
    """The ids from ``from_id`` on (None: from the next trade on) are to be held.

    ``covered_from`` is the time from which the segment is covered; ``cause``: ``start`` for a first
    start, ``backfill`` or ``archive`` for history.
    """

    symbol: str
    from_id: int | None
    covered_from: int
    cause: str
    event_time: int


class Cause(StrEnum):
    """Why ids are missing. The value is written into coverage: never rename one."""

    START = "start"  # below the first trade of a segment: before the stream brought anything
    DISCONNECT = "disconnect"  # a connection to the exchange was cut, and another took its place
    OURS = "ours"  # our own process was down, or the symbol switched off
    STREAM = "stream"  # the connection ran on, and left them out (or what it sent could not be read)
    LOST = "lost"  # held once, and deleted from the log before they were stored
    BACKFILL = "backfill"  # history wanted with the symbol, by REST
    ARCHIVE = "archive"  # history wanted later, from the public archive
    NOT_SERVED = "not_served"  # a hole: the exchange's REST skips them


class Ending(StrEnum):
    """Why a segment ended. The value is written into coverage: never rename one."""

    UNWATCHED = "unwatched"  # the symbol was switched off
    SILENCE = "silence"  # the next trade came more than a day later


# Ids that were wanted long after they happened: live gaps go before them.
HISTORY = frozenset((Cause.BACKFILL, Cause.ARCHIVE))


class Joined(msgspec.Struct, frozen=True, gc=False):
    """From here on another connection brings the symbol's trades: ids that are skipped here were lost to ``cause``.

    ``event_time``: the newest that was heard on it; frames up to there may still follow, so it moves no clock.
    """

    symbol: str
    cause: str
    event_time: int


class Asked(msgspec.Struct, frozen=True, gc=False):
    """Repair has asked for missing ids of ``from_id..to_id`` (inclusive), and has not got them all.

    ``outcome``: ``repairing``, it asks again; ``beyond_rest``, REST does not reach back to them.
    """

    symbol: str
    from_id: int
    to_id: int
    outcome: str
    event_time: int


class Hole(msgspec.Struct, frozen=True, gc=False):
    """The exchange cannot serve the ids ``from_id..to_id`` (inclusive)."""

    symbol: str
    from_id: int
    to_id: int
    cause: str
    event_time: int


class Proved(msgspec.Struct, frozen=True, gc=False):
    """Every minute that the hole ``from_id..to_id`` (inclusive) touches is certified: the exchange has none either."""

    symbol: str
    from_id: int
    to_id: int
    event_time: int


class Unwatch(msgspec.Struct, frozen=True, gc=False):
    """The symbol was switched off: its segment ends here."""

    symbol: str
    event_time: int


class Lost(msgspec.Struct, frozen=True, gc=False):
    """Held ids ``from_id..to_id`` (inclusive) were deleted before they were stored: they must come again.

    The times are those of the stored trades next to them.
    """

    symbol: str
    from_id: int
    to_id: int
    from_time: int
    to_time: int
    event_time: int


RawRecord = Trade | Kline | Want | Joined | Asked | Hole | Proved | Unwatch | Lost


class Enriched(msgspec.Struct, frozen=True, gc=False):
    """A record of ``enriched_trades``: the trade and what can be said of it alone.

    ``notional`` is price x qty scaled by 10**16, so it is exact. ``latency_ms`` is null for trades
    that did not come by the stream. ``late``: its minute was closed already.
    """

    trade: Trade
    base: str
    quote: str
    notional: int
    side: str
    session: str
    latency_ms: int | None
    trade_day: str
    known_at: int
    late: bool


class Candle(msgspec.Struct, frozen=True, gc=False):
    """OHLCV of one symbol, interval and open time: a function of its own trades only.

    ``trades`` counts fills, ``agg_trades`` counts trades and is the ``revision``. An empty bucket
    has null ids and is flat at the previous close (0 when none is known). ``quote_rounding``: by how
    much ``quote_volume`` may exceed the exchange's (DESIGN section 6).
    """

    symbol: str
    interval: str
    open_time: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    quote_volume: int = 0
    trades: int = 0
    taker_buy_volume: int = 0
    taker_buy_quote_volume: int = 0
    first_trade_id: int | None = None
    last_trade_id: int | None = None
    first_fill_id: int | None = None
    last_fill_id: int | None = None
    agg_trades: int = 0
    quote_rounding: int = 0

    @property
    def revision(self) -> int:
        return self.agg_trades


class CandleReason(StrEnum):
    """Why a record of ``candles_1m`` was written."""

    CLOSED = "closed"
    LATE = "late"
    BACKFILL = "backfill"
    VERDICT = "verdict"
    RESTATED = "restated"


class CandleRecord(msgspec.Struct, frozen=True, gc=False):
    """A record of ``candles_1m``: one version of a candle, or a verdict on that version.

    ``state``: closed, certified, disputed or partial as known when it was written.
    ``difference``: {field: [ours, the exchange's]} as decimal texts, when disputed.
    """

    candle: Candle
    state: str
    reason: str
    known_at: int
    missing: int | None = None
    difference: dict[str, list[str]] | None = None


class Live(msgspec.Struct, frozen=True, gc=False):
    """A record of ``candles_live``: where a symbol stands after a commit.

    ``candle``: the forming 1m candle, flat while its minute has no trade (None before the first price);
    ``pending``: earlier minutes that have ended but not closed yet, oldest first; ``feed_time``: its clock;
    ``closed_to``: every minute before it is closed; ``last_trade_id``/``last_trade_time``: the newest held;
    ``covered_from``: since when its open segment is covered, None while none is open.
    """

    symbol: str
    feed_time: int
    candle: Candle | None = None
    closed_to: int | None = None
    last_trade_id: int | None = None
    last_trade_time: int | None = None
    last_price: int | None = None
    last_close: int | None = None
    pending: tuple[Candle, ...] = ()
    covered_from: int | None = None


class CoverageKind(StrEnum):
    """What a record of ``coverage`` tells."""

    SEGMENT_OPENED = "segment_opened"
    SEGMENT_CLOSED = "segment_closed"
    GAP_OPENED = "gap_opened"
    GAP_ASKED = "gap_asked"
    GAP_CLOSED = "gap_closed"
    TAIL_CLOSED = "tail_closed"
    HOLE = "hole"
    HOLE_PROVED = "hole_proved"
    TAIL_BEHIND = "tail_behind"


class CoverageEvent(msgspec.Struct, frozen=True, gc=False):
    """A change of what is held. Folding a symbol's events in order gives its gaps and holes.

    ``segment_*``: ``from_id`` is the segment's first id (its name is ``segment``: the id it was
    opened with), ``from_time`` is ``covered_from``; ``to_time`` of an opened one: up to there only minutes without
    trades were added to it, and they need their candles. ``gap_*`` and ``hole``: the ids
    ``from_id..to_id`` inclusive, ``from_time``/``to_time`` are the trade times of the neighbours held
    below and above; gap_asked names ids that repair could not have yet (``cause``: what came of asking);
    gap_closed names only the ids that were filled since the last event, and a hole takes its ids out of the gaps
    (told again: its times are known better), ``hole_proved`` names ids of holes. ``tail_behind``: ``from_id``
    is the first id that may be missing at the end, ``to_id`` null; ``tail_closed``: ids that were missing there, and
    have come. ``gap``: the first id that was missing when the gap opened, ``opened_at``: when; together its name.
    """

    kind: str
    symbol: str
    from_id: int | None
    to_id: int | None
    from_time: int | None
    to_time: int | None
    cause: str
    known_at: int
    segment: int | None = None
    gap: int | None = None
    opened_at: int | None = None


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """A frame or record that could not be used, untouched, with its reason.

    ``origin``: the connection, or topic/partition/offset.
    """

    reason: str
    detail: str
    origin: str
    frame: bytes
    known_at: int
    symbol: str = ""
    replays: int = 0
