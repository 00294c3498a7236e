"""The words of a result. Plain data; the JSON of an audit is these structures (docs/truth.md shows it)."""

from enum import StrEnum

import msgspec

from analytics.audit.ids import Account
from ingestion.pipeline.records import Candle


class Check(StrEnum):
    """What was compared. The value is a metric label and part of the JSON: never rename one."""

    IDS = "ids"
    CANDLES = "candles"
    ROLL_UPS = "roll_ups"
    KLINES = "klines"
    VERDICTS = "verdicts"


class Remedy(StrEnum):
    """What ``--repair`` asks for."""

    REFETCH = "refetch"
    RESTATE = "restate"
    REBUILD = "rebuild"
    ROLL_UP = "roll_up"
    NONE = "none"


ADVICE = {
    Remedy.REFETCH: "--repair tells the processor that these ids are lost; repair_gaps fetches them again",
    Remedy.RESTATE: "--repair publishes the candle again as its stored trades make it",
    Remedy.REBUILD: "--repair marks the minute dirty: a rebuild judges it again",
    Remedy.ROLL_UP: "--repair marks the bucket dirty: it is merged from its minutes again",
    Remedy.NONE: "look at /coverage and at the log of the process role; nothing is asked for",
}


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that is stored and not true.

    A candle is named by ``interval`` and ``open_time``, ids by ``from_id..to_id`` between trades at ``from_time`` and
    ``to_time``. ``fields``: {field: [stored, what it should be]}.
    """

    check: Check
    symbol: str
    what: str
    remedy: Remedy
    interval: str | None = None
    open_time: int | None = None
    from_id: int | None = None
    to_id: int | None = None
    from_time: int | None = None
    to_time: int | None = None
    fields: dict[str, list[str]] | None = None

    @property
    def place(self) -> tuple[object, ...]:
        """What makes it the same difference when it is seen again."""
        return (self.check, self.symbol, self.what, self.interval, self.open_time, self.from_id)


class Dispute(msgspec.Struct, frozen=True):
    """A candle that differs from the exchange's, and readers are told so: no difference of the audit."""

    interval: str
    open_time: int
    fields: dict[str, list[str]]


class Reports(msgspec.Struct, frozen=True):
    """A bucket of which the exchange's own reports differ, as far as more than one is still stored.

    The one that counts is compared with ours, so this is no difference. ``sources``: where they came from.
    """

    interval: str
    open_time: int
    sources: list[str]


class Day(msgspec.Struct, frozen=True):
    """What was found of one symbol and UTC day, from ``start`` up to ``until`` (exclusive, epoch ms).

    ``trades``: ids that are stored, ``rows`` of the table they are in before it merges; ``candles`` of 1m, of which
    ``certified`` and ``disputed`` by their verdict; ``waiting``: buckets that a rebuild, a roll-up or the sink has
    still to do; ``uncertified``: minutes that equal the exchange's and have no verdict yet. ``disputes``: candles of
    every interval that differ from the exchange's and are told as such; ``reports``: where the exchange differs from
    itself. ``digest``: of the stored 1m candles
    (ingestion.pipeline.digest).
    """

    symbol: str
    day: str
    start: int
    until: int
    trades: int
    rows: int
    candles: int
    certified: int
    disputed: int
    missing: int
    holes: int
    waiting: int
    uncertified: int
    digest: str
    ids: tuple[Account, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    reports: tuple[Reports, ...] = ()
    differences: tuple[Difference, ...] = ()
    # What --repair publishes again, by open time: no part of the JSON.
    restated: dict[int, Candle] = {}


class Skipped(msgspec.Struct, frozen=True):
    """A symbol that was not looked at, and why."""

    symbol: str
    why: str
