"""What ingest talks to, small enough to be read at a glance."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from ingestion.binance.errors import ExchangeAway
from ingestion.log.port import LogError, Record
from ingestion.pipeline.records import Trade
from markets.types import SCALE


def make_trade(trade_id: int, time_ms: int, symbol: str = "BTCUSDT", source: str = "rest") -> Trade:
    """A trade of one fill."""
    return Trade(symbol, trade_id, 100 * SCALE, SCALE, trade_id, trade_id, time_ms, True, source, 0)


class FakeRest:
    """An exchange with these trades (of one symbol) and this clock; ``is_away``: it does not answer."""

    def __init__(self, trades: Iterable[Trade] = (), time_ms: int = 0) -> None:
        self.trades, self.time_ms = list(trades), time_ms
        self.is_away = False
        self.times_asked = 0

    def server_time(self) -> int:
        self.times_asked += 1
        self._answer()
        return self.time_ms

    def agg_trades(
        self,
        symbol: str,
        *,
        from_id: int | None = None,
        start_time: int | None = None,
        end_time: int | None = None,
        limit: int = 1000,
    ) -> list[Trade]:
        self._answer()
        rows = [row for row in self.trades if row.symbol == symbol]
        rows = [row for row in rows if end_time is None or row.trade_time <= end_time]
        if start_time is not None:
            return [row for row in rows if row.trade_time >= start_time][:limit]
        return rows[-limit:]

    def _answer(self) -> None:
        if self.is_away:
            raise ExchangeAway("not now")


class ListLog:
    """The part of the log that a writer uses. ``gate`` shut: appends wait; ``failures``: so many are refused."""

    def __init__(self) -> None:
        self.appends: list[tuple[str, list[Record]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failures = 0

    def append(self, topic: str, records: Iterable[Record]) -> None:
        assert self.gate.wait(10.0)
        if self.failures:
            self.failures -= 1
            raise LogError("no space left")
        self.appends.append((topic, list(records)))

    def values(self, topic: str) -> list[bytes]:
        return [record.value for name, records in self.appends for record in records if name == topic]


@dataclass
class FakeConnection:
    """What a session needs of its connection."""

    name: str = "0.1"
    frames: int = 0
    is_held_up: bool = False
    shutdown_announced: bool = False

    def __post_init__(self) -> None:
        self.replies: list[tuple[int | str | None, str | None]] = []
        self.asked: set[str] = set()
        self.acked: set[str] = set()

    def answered(self, request_id: int | str | None, problem: str | None = None) -> None:
        self.replies.append((request_id, problem))

    def announce_shutdown(self) -> None:
        self.shutdown_announced = True
