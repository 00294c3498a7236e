"""What backfills measure."""

from prometheus_client import Counter, Gauge

ROWS = Counter("streamloom_backfill_rows_total", "Rows of the archive appended to the log.", ["data"])
BAD_ROWS = Counter(
    "streamloom_backfill_bad_rows_total", "Rows of the archive that were turned away, by reason.", ["reason"]
)
FILES = Counter(
    "streamloom_backfill_files_total",
    "Files of the archive, by outcome: used, absent, wrong_checksum, bad, replaced.",
    ["outcome"],
)
FAILURES = Counter("streamloom_backfill_failures_total", "Slices of work that ended in an error and are tried again.")
WAITS = Counter("streamloom_backfill_waits_total", "Times a backfill left the readers of the log room for live data.")
UNFINISHED = Gauge("streamloom_backfills_unfinished", "Backfills that are queued or running.")
