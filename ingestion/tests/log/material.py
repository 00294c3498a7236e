"""Records to write, and short ways to read them back."""

import threading
from collections.abc import Callable, Iterable, Sequence

from ingestion.log.port import Batch, Log, LogError, Record, Stored, TopicPartition
from ingestion.log.topics import CANDLES_LIVE, ENRICHED_TRADES, RAW_TRADES

RAW, OUT, LIVE = RAW_TRADES.name, ENRICHED_TRADES.name, CANDLES_LIVE.name
RAW_0 = TopicPartition(RAW, 0)
DAY_MS = 86_400_000
# Of four. Fixed numbers: a change would send the records of one symbol to two partitions.
KNOWN_PARTITIONS = {"BTCUSDT": 3, "ETHUSDT": 0, "SOLUSDT": 0, "ADAUSDT": 1, "BNBBTC": 2}
SOON_S = 10.0  # how long a test waits for what must happen
NOT_YET_S = 0.2  # how long it watches that something does not


def record(number: int, key: str = "BTCUSDT") -> Record:
    return Record(key, b"%d" % number)


def records(numbers: Iterable[int], key: str = "BTCUSDT") -> list[Record]:
    return [record(number, key) for number in numbers]


def numbers(stored: Iterable[Stored]) -> list[int]:
    return [int(item.value) for item in stored]


def everything(log: Log, topic: str, partition: int = 0) -> list[int]:
    start, end = log.start_offset(topic, partition), log.end_offset(topic, partition)
    return numbers(log.read_range(topic, partition, start, end))


def drain(poll: Callable[[int, float], Batch | Sequence[Stored]], quiet_s: float = 0.0) -> list[int]:
    """All that a reader or tail gives until it has had nothing more for ``quiet_s``."""
    found: list[int] = []
    while True:
        answer = poll(7, quiet_s)
        items = answer.records if isinstance(answer, Batch) else answer
        if not items and not (isinstance(answer, Batch) and answer.assigned):
            return found
        found += numbers(items)


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Run ``work`` in a thread; its result or the LogError it raised lands in the list."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(work())
        except LogError as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results
