"""The catalogue of what ingestion measures. No other file spells a metric's name."""

from prometheus_client import Counter, Histogram

PROCESS_RECORDS = Counter(
    "streamloom_process_records_total", "What the processor made of raw records, by kind.", ["kind"]
)
PROCESS_COMMIT_SECONDS = Histogram(
    "streamloom_process_commit_seconds", "How long a commit of outputs, state and positions took."
)
PROCESS_WAITS = Counter(
    "streamloom_process_waits_total", "Turns in which the processor waited for the sink to catch up."
)
