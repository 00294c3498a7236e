"""The metrics of reading; no other file spells their names."""

from prometheus_client import Counter

TAIL_RECORDS = Counter("streamloom_tail_records_total", "Records that the web process's tail has read.")
TAIL_FAILURES = Counter("streamloom_tail_failures_total", "Times the tail had to start again.")
TAIL_UNREADABLE = Counter("streamloom_tail_unreadable_total", "Records that the tail could not read.")
