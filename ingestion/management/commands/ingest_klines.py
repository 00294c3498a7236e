"""``manage.py ingest_klines``: the exchange's own candles, by stream and by REST."""

from typing import Any

from ingestion.klines.role import IngestKlines, build_role
from ingestion.roles.command import RoleCommand


class Command(RoleCommand):
    help = (
        "Read the exchange's own candles of 1s, 1m, 15m, 1h and 1d, of every symbol enabled for klines or trades, and "
        "write the closed ones to prices-<interval>. Streams: 1s of all symbols, the others of those enabled for "
        "klines only; what they did not bring is asked of REST (klines) about 10 s after the bucket's end, within the "
        "exchange's weight limit: the minutes of symbols watched for trades where prices-1m lacks them, their 15m, 1h "
        "and 1d always, and a disputed candle's again after 10 s, 60 s, 10 min and 1 h (DisputedCandle in the database "
        "tells of those above 1m). A new symbol begins with "
        "KLINES_HISTORY klines of each interval (1s=1000,1m=1440,15m=1000,1h=1000,1d=1000), a symbol watched for "
        "trades with those since its trades are held (except 1s). Progress is kept in the database (KlineProgress). "
        "Frames that are no kline go to dead_letters. Runs until SIGINT or SIGTERM."
    )

    default_metrics_port = 2117

    def make_role(self, options: dict[str, Any]) -> IngestKlines:
        return build_role()
