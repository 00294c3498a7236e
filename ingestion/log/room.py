"""Who writes what can wait (repair, backfill) leaves the readers room: live trades go first."""

from typing import Final

from ingestion.log.port import Log
from ingestion.log.topics import GROUP_PROCESS, GROUP_SINK, RAW_TRADES

# With more unread records than this the processor has enough to do.
ROOM: Final = 5_000
# The sink stores in large blocks; more than a few of them need not wait for it.
SINK_ROOM: Final = 50_000


def processor_has_room(log: Log, symbol: str) -> bool:
    """True while the processor has fewer than ``ROOM`` unread records where the symbol's trades go."""
    return _unread(log, GROUP_PROCESS, RAW_TRADES.name, symbol) < ROOM


def sink_has_room(log: Log, topic: str, symbol: str) -> bool:
    """True while the sink has fewer than ``SINK_ROOM`` records of the topic to store where the symbol's go."""
    return _unread(log, GROUP_SINK, topic, symbol) < SINK_ROOM


def _unread(log: Log, group: str, topic: str, symbol: str) -> int:
    partition = log.partition_of(topic, symbol)
    begins = max(log.start_offset(topic, partition), log.position(group, topic, partition))
    return log.end_offset(topic, partition) - begins
