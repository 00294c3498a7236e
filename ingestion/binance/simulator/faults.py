"""What the exchange does wrong on request. Which trades are hit is a function of seed and id."""

import zlib
from collections.abc import Iterable
from typing import Any, Literal, Self

import msgspec

from ingestion.binance.simulator.book import Spans, is_within
from ingestion.binance.simulator.rows import Row

# A trade that waits to change places with its neighbour is sent alone after this much feed time.
REORDER_WINDOW_MS = 2_000


# ``missing``: 404; ``truncated``: its text ends too early, the checksum is right; ``broken``: half of the zip;
# ``bad_checksum``: the CHECKSUM is of something else; ``replaced``: the same rows packed anew; ``header``: a first row
# with names.
ArchiveFault = Literal["missing", "truncated", "broken", "bad_checksum", "replaced", "header"]


class FaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The faults in force; the names are those of the control endpoint.

    ``drop``, ``double``, ``reorder``, ``malformed``: the part (0..1) of stream trades that is not sent, sent twice,
    swapped with its neighbour, sent as a broken frame. ``drop_ids``: {symbol: [[from, to], ...]} kept from
    the stream only; ``holes``: the same, kept from stream, REST and klines: such ids never were.
    ``rest_lag_ms``: REST does not know the newest trades yet; ``rest_reach_ms``: nor those that are older than
    this (0: it has all). ``halts``: {symbol: [[from, to], ...]} in epoch ms: in these spans there is no trade and no
    kline, and what was to be traded in them is traded at their end; tell one before it begins. ``drop_klines``: the
    part of the closed kline frames that is not sent. ``archive``: {file name: what is wrong with it}.
    ``cut_every_s``: every connection is cut so often (0: never).
    """

    seed: int = 0
    frozen: bool = False
    frozen_symbols: list[str] = []
    drop: float = 0.0
    double: float = 0.0
    reorder: float = 0.0
    malformed: float = 0.0
    drop_klines: float = 0.0
    drop_ids: dict[str, Spans] = {}
    holes: dict[str, Spans] = {}
    halts: dict[str, Spans] = {}
    rest_lag_ms: int = 0
    rest_reach_ms: int = 0
    archive: dict[str, ArchiveFault] = {}
    cut_every_s: float = 0.0

    def changed(self, fields: dict[str, Any]) -> Self:
        """This plan with some fields replaced. Raises ValueError for unknown names or types."""
        try:
            return msgspec.convert({**msgspec.structs.asdict(self), **fields}, type(self))
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error

    def hits(self, fault: str, symbol: str, trade_id: int) -> bool:
        """Whether the fault of that name befalls this trade, or the kline that opens at this time."""
        part: float = getattr(self, fault)
        if part <= 0:
            return False
        text = f"{self.seed}:{fault}:{symbol}:{trade_id}"
        return zlib.crc32(text.encode()) < part * 2**32

    def drops(self, symbol: str, trade_id: int) -> bool:
        """Whether the stream keeps this trade to itself."""
        spans = self.drop_ids.get(symbol)
        return bool(spans and is_within(trade_id, spans)) or self.hits("drop", symbol, trade_id)

    @property
    def moves_trades(self) -> bool:
        """False when every trade is sent once, whole, in its place: then nothing need be asked."""
        return bool(self.drop or self.double or self.reorder or self.malformed or self.drop_ids)


class Shaper:
    """Leaves out, doubles and swaps the trades of one symbol as the plan says."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._held: Row | None = None

    @property
    def held_until(self) -> int | None:
        """When a trade that waits for its neighbour is sent anyway; None while none waits."""
        return None if self._held is None else self._held.event_time + REORDER_WINDOW_MS

    def shape(self, rows: Iterable[Row], plan: FaultPlan, time_ms: int) -> list[Row]:
        """The rows that are sent, in the order they are sent."""
        out: list[Row] = []
        for row in rows:
            if not plan.drops(self._symbol, row.trade_id):
                self._pass(row, plan, out)
        if self._held is not None and time_ms >= self._held.event_time + REORDER_WINDOW_MS:
            out.append(self._held)
            self._held = None
        return out

    def _pass(self, row: Row, plan: FaultPlan, out: list[Row]) -> None:
        if self._held is None and plan.hits("reorder", self._symbol, row.trade_id):
            self._held = row
            return
        out.append(row)
        if plan.hits("double", self._symbol, row.trade_id):
            out.append(row)
        if self._held is not None:
            out.append(self._held)
            self._held = None
