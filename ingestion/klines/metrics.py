"""What ``ingest_klines`` measures."""

from prometheus_client import Counter, Gauge

QUESTIONS = Counter(
    "streamloom_klines_questions_total",
    "Pages of klines asked for, by aim (dispute, recent, history) and outcome "
    "(rows, nothing, busy, away, refused, bad).",
    ["aim", "outcome"],
)
WRITTEN = Counter(
    "streamloom_klines_written_total",
    "Closed klines written to the log, by interval and source.",
    ["interval", "source"],
)
WRITE_FAILURES = Counter("streamloom_klines_write_failures_total", "Batches the log refused; they are tried again.")
SAVE_FAILURES = Counter("streamloom_klines_save_failures_total", "Times the progress could not be saved.")
OVERDUE = Gauge("streamloom_klines_overdue", "Ended buckets whose kline should have come and has not.")
HISTORY_LEFT = Gauge("streamloom_klines_history_left", "Symbols and intervals that do not reach back far enough yet.")
DISPUTED = Gauge("streamloom_klines_disputed", "Disputed candles whose kline is to be asked for again.")
