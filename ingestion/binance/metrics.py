"""The metrics of everything that talks to the exchange's streams."""

from prometheus_client import Counter, Gauge

FRAMES = Counter("streamloom_feed_frames_total", "Frames received from the exchange's streams.")
FRAMES_REJECTED = Counter("streamloom_feed_frames_rejected_total", "Frames turned away, by reason.", ["reason"])
CONNECTIONS_OPENED = Counter(
    "streamloom_feed_connections_opened_total", "Connections opened, by what made them necessary.", ["cause"]
)
CONNECT_FAILURES = Counter("streamloom_feed_connect_failures_total", "Attempts to connect that failed.")
CONNECTION_AGE = Gauge(
    "streamloom_feed_connection_age_seconds", "Age of the connection that serves a place in the plan.", ["place"]
)
CONNECTION_SYMBOLS = Gauge("streamloom_feed_connection_symbols", "Symbols confirmed on a connection.", ["place"])
SILENT_SYMBOLS = Gauge("streamloom_feed_silent_symbols", "Symbols that are confirmed but silent.", ["place"])
RESUBSCRIBED = Counter("streamloom_feed_resubscribed_total", "Silent symbols that were subscribed again.")
BUFFERED = Gauge("streamloom_ingest_buffered_records", "Records that wait to be written to the log.")
HELD_FRAMES = Gauge("streamloom_ingest_held_frames", "Frames held until their symbol's start is in the log.")
WRITTEN = Counter("streamloom_ingest_written_records_total", "Records written to the log, by topic.", ["topic"])
WRITE_FAILURES = Counter("streamloom_ingest_write_failures_total", "Batches the log refused; they are tried again.")
EXCHANGE_QUESTIONS_FAILED = Counter(
    "streamloom_ingest_exchange_questions_failed_total", "REST questions that failed and are asked again.", ["question"]
)
WATCH_LIST_FAILURES = Counter("streamloom_ingest_watch_list_failures_total", "Times the watch list could not be read.")
WATCHED = Gauge("streamloom_ingest_watched_symbols", "Symbols that are watched.")
