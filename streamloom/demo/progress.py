"""How far the history is: ids still missing below the live trades, per symbol."""

import threading
from collections.abc import Callable

from analytics.reading.tail import get_tail
from ingestion.pipeline.coverage import SymbolCoverage

_EVERY_S = 1.0
# More symbols than that make a line that nobody reads.
_NAMED = 6


class HistoryProgress(threading.Thread):
    """Tells, at most once a second and only on change, how much of the history has come."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(name="history-progress", daemon=True)
        self._tell = tell
        self._stop_event = threading.Event()
        self._most: dict[str, int] = {}
        self._last = ""

    def stop(self) -> None:
        self._stop_event.set()

    def run(self) -> None:
        view = get_tail().view
        while not self._stop_event.wait(_EVERY_S):
            line = self.line({symbol: view.coverage(symbol) for symbol in view.symbols()})
            if line and line != self._last:
                self._tell(line)
            self._last = line or self._last

    def line(self, coverages: dict[str, SymbolCoverage]) -> str:
        """What to tell now; empty before any history was asked for."""
        asked: dict[str, tuple[int, int]] = {}
        for symbol, coverage in sorted(coverages.items()):
            left = sum(gap.count for gap in coverage.gaps if gap.cause == "backfill")
            most = self._most[symbol] = max(left, self._most.get(symbol, 0))
            if most:
                asked[symbol] = most - left, most
        if len(asked) > _NAMED:
            came, most = (sum(counts) for counts in zip(*asked.values(), strict=True))
            asked = {f"{len(asked)} symbols": (came, most)}
        parts = (f"{name} {100 * came // most} % of {most:,} trades" for name, (came, most) in asked.items())
        return "history: " + ", ".join(parts) if asked else ""
