"""The metrics of the sockets; no other file spells their names."""

from prometheus_client import Counter, Gauge

CONNECTIONS = Gauge("streamloom_ws_connections", "Open sockets.")
SUBSCRIPTIONS = Gauge("streamloom_ws_subscriptions", "Subscriptions of all open sockets.")
SENT = Counter("streamloom_ws_messages_sent_total", "Messages handed to sockets.")
MADE = Counter("streamloom_ws_messages_made_total", "Messages made for topics, each once for all subscribers.")
REFUSED = Counter("streamloom_ws_refusals_total", "Requests refused, by code.", ["code"])
TOO_SLOW = Counter("streamloom_ws_too_slow_total", "Sockets closed because the client did not keep up.")
TOO_MANY = Counter("streamloom_ws_too_many_total", "Sockets closed because the process has its most.")
READ_FAILURES = Counter("streamloom_ws_read_failures_total", "Reads for subscriptions that failed and are retried.")
