"""What repair measures."""

from prometheus_client import Counter, Gauge

QUESTIONS = Counter(
    "streamloom_repair_questions_total",
    "Pages asked for, by outcome: rows, nothing, busy, away, refused, bad.",
    ["outcome"],
)
TRADES = Counter("streamloom_repair_trades_total", "Missing trades found by REST and appended.")
HOLES = Counter("streamloom_repair_hole_ids_total", "Ids declared holes: the exchange cannot serve them.")
MISSING_IDS = Gauge("streamloom_repair_missing_ids", "Ids that repair has still to ask for.")
SUSPECT_IDS = Gauge("streamloom_repair_suspect_ids", "Ids that REST skipped, on their way to be declared holes.")
BEYOND_IDS = Gauge("streamloom_repair_beyond_rest_ids", "Missing ids that REST does not reach; the archive may.")
WAITS = Counter("streamloom_repair_waits_total", "Turns in which repair left the processor room for live trades.")
