"""What the roles measure, by name; the feed's and the repair's own stand beside them (``binance``, ``repair``)."""

from prometheus_client import Counter, Gauge, Histogram

PROCESS_RECORDS = Counter(
    "streamloom_process_records_total", "What the processor made of raw records, by kind.", ["kind"]
)
PROCESS_COMMIT_SECONDS = Histogram(
    "streamloom_process_commit_seconds", "How long a commit of outputs, state and positions took."
)
PROCESS_ABORTS = Counter("streamloom_process_aborts_total", "Commits that were aborted and started over.")
PROCESS_WAITS = Counter(
    "streamloom_process_waits_total", "Turns in which the processor waited for the sink to catch up."
)
VERDICT_SECONDS = Histogram(
    "streamloom_verdict_seconds",
    "From the later of a minute's close and its kline's arrival in the log to its verdict there (machine's clock).",
    ["source"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 10, 30, 60, 600),
)
ROLE_PROCESSED = Gauge("streamloom_role_processed", "Records that a role took since it started.", ["role"])
ROLE_LAG = Gauge("streamloom_role_lag", "Records that wait for a role.", ["role"])
ROLE_LAST_MESSAGE = Gauge(
    "streamloom_role_last_message_seconds", "Time of a role's newest input, as Unix time.", ["role"]
)
ROLE_OK = Gauge("streamloom_role_ok", "1 while a role works as it should; 0 while it works late or not.", ["role"])
ROLE_RESTARTS = Counter("streamloom_role_restarts_total", "Starts of a role after it failed.", ["role"])
