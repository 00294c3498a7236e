"""What a slice of work is done with, and the words with which it ends before its time."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ingestion.binance.archive_files import ArchiveFile
from ingestion.binance.archive_lines import Bookmarks
from ingestion.log.port import Log
from ingestion.pipeline.records import Kline, Trade


class Rest(Protocol):
    """What a backfill asks the exchange: a part of ``BinanceRest``. Blocking; raises ExchangeError."""

    def server_time(self) -> int: ...

    def agg_trades(
        self,
        symbol: str,
        *,
        from_id: int | None = None,
        start_time: int | None = None,
        end_time: int | None = None,
        limit: int = 1000,
    ) -> list[Trade]: ...

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        start_time: int | None = None,
        end_time: int | None = None,
        limit: int = 1000,
    ) -> list[Kline]: ...


class Archive(Protocol):
    """The archive as ``BinanceArchive`` has it. Raises ExchangeError."""

    def checksum(self, file: ArchiveFile) -> str | None: ...

    def has(self, file: ArchiveFile) -> bool: ...

    def fetch(self, file: ArchiveFile, checksum: str, folder: Path, go_on: Callable[[], bool]) -> Path | None: ...


@dataclass(frozen=True)
class Tools:
    """What a slice works with. ``folder``: where files are kept while they are read; ``bookmarks``: their readers, for
    the next slice in this process. ``pause`` waits that many s."""

    log: Log
    archive: Archive
    rest: Rest
    folder: Path
    bookmarks: Bookmarks = field(default_factory=Bookmarks)
    monotonic: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    rng: random.Random = field(default_factory=random.Random)


class Refused(Exception):
    """The backfill cannot be done as asked; the text says why and what can."""


class Later(Exception):
    """Nothing can be done for now."""

    def __init__(self, seconds: float, note: str) -> None:
        super().__init__(note)
        self.seconds, self.note = seconds, note


class TimeIsUp(Exception):
    """The slice has had its time; the next one goes on."""
