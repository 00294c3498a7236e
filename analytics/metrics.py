"""The catalogue of this app's metrics: one line of purpose each. No other file spells a metric's name."""

from prometheus_client import Counter, Gauge, Histogram

SINK_RECORDS = Counter("streamloom_sink_records_total", "Records stored, by topic.", ["topic"])
SINK_FAILURES = Counter("streamloom_sink_failures_total", "Loads that failed and are retried.", ["topic"])
SINK_UNREADABLE = Counter("streamloom_sink_unreadable_total", "Records that went to dead_letters instead.", ["topic"])
SINK_RECORDS_GONE = Counter(
    "streamloom_sink_records_gone_total", "Records that retention took before they were stored.", ["topic"]
)
SINK_BACKLOG = Gauge("streamloom_sink_backlog", "Records not stored yet.", ["topic", "partition"])
SINK_SECONDS = Histogram("streamloom_sink_load_seconds", "Time of one load, from lease to advance.", ["topic"])
WAKE_FAILURES = Counter("streamloom_sink_wake_failures_total", "Wake-ups that the queue did not take; tried again.")
DIRTY_BUCKETS = Gauge("streamloom_dirty_buckets", "Buckets that wait for a rebuild or a roll-up.")
REBUILT = Counter("streamloom_rebuilt_candles_total", "Candle records published by rebuilds.", ["reason"])
DISPUTED = Counter(
    "streamloom_disputed_candles_total",
    "Comparisons with the exchange's own candles that failed; above 1m once as long as it stays.",
    ["interval"],
)
INDICATOR_ROWS = Counter("streamloom_indicator_rows_total", "Candles whose indicators were stored.", ["interval"])
INDICATOR_FAILURES = Counter("streamloom_indicator_failures_total", "Turns of indicators that failed and are retried.")
ROLLED_UP = Counter("streamloom_rolled_up_candles_total", "Candles rolled up from 1m.", ["interval"])
AUDIT_DIFFERENCES = Gauge(
    "streamloom_audit_differences",
    "What the newest audits of the last days found, by check.",
    ["check"],
    multiprocess_mode="mostrecent",
)
AUDIT_LOOKED_AT = Gauge(
    "streamloom_audit_last_run_timestamp_seconds",
    "When it was last looked for whole days to audit.",
    multiprocess_mode="mostrecent",
)
AUDITED_DAYS = Counter(
    "streamloom_audited_days_total", "Symbols and days that were audited, by what came out.", ["state"]
)
