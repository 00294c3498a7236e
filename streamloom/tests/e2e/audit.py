"""What is in a data folder that no process holds: the log's records and the tables' rows, as JSON on stdout.

A process of its own, because the embedded engine opens one folder in the life of a process.
"""

import json
import os
import sys
from collections import defaultdict
from typing import Any

JOURNAL = "SELECT seq, count() FROM candle_journal GROUP BY seq ORDER BY seq"
STORED = "SELECT symbol, count(), uniqExact(trade_id), min(trade_id), max(trade_id) FROM {} GROUP BY symbol"
LETTERS = "SELECT reason, symbol, hex(frame) FROM dead_letters FINAL ORDER BY offset"


def main(folder: str) -> None:
    """Write the facts."""
    os.environ.update(STREAMLOOM_DATA_DIR=folder, DJANGO_SETTINGS_MODULE="streamloom.settings")
    import django

    django.setup()
    json.dump({**_of_log(), **_of_tables()}, sys.stdout)


def _of_log() -> dict[str, Any]:
    """``offsets`` and ``seqs`` of ``candles_1m``; ``ids`` of ``enriched_trades`` as often as they are there;
    ``closings``: the minutes that the processor closed, each time; ``letters``: [reason, frame as hex]."""
    from ingestion.log import close_log, codec, open_log, topics

    log = open_log()
    candles = log.read_range(topics.CANDLES_1M.name, 0, 0, log.end_offset(topics.CANDLES_1M.name, 0))
    enriched = log.read_range(topics.ENRICHED_TRADES.name, 0, 0, log.end_offset(topics.ENRICHED_TRADES.name, 0))
    letters = log.read_range(topics.DEAD_LETTERS.name, 0, 0, log.end_offset(topics.DEAD_LETTERS.name, 0))
    epoch = log.epoch(topics.CANDLES_1M.name)
    ids: dict[str, list[int]] = defaultdict(list)
    for stored in enriched:
        ids[stored.key].append(codec.enriched(stored.value).trade.trade_id)
    closings: dict[str, list[int]] = defaultdict(list)
    for stored in candles:
        record = codec.candle(stored.value)
        if record.reason == "closed":
            closings[stored.key].append(record.candle.open_time)
    found = {
        "offsets": [stored.offset for stored in candles],
        "seqs": [epoch << 40 | stored.offset for stored in candles],
        "ids": ids,
        "closings": closings,
        "letters": [
            [letter.reason, letter.frame.hex()] for letter in (codec.dead_letter(stored.value) for stored in letters)
        ],
    }
    close_log()
    return found


def _of_tables() -> dict[str, Any]:
    """``journal``: [seq, rows]; ``stored``: {symbol: [rows, ids, lowest, highest]};
    ``stored_letters``: [reason, frame as hex]."""
    from analytics.clickhouse.client import client

    return {
        "journal": client().query(JOURNAL).result_rows,
        "stored": {row[0]: row[1:] for row in client().query(STORED.format("trades_enriched FINAL")).result_rows},
        "stored_letters": [[row[0], row[2].lower()] for row in client().query(LETTERS).result_rows],
    }


if __name__ == "__main__":
    main(sys.argv[1])
