"""An answer of ``/status.json`` with one of everything: late, down, a gap."""

NOW = 1_700_000_025_000


def _stage(name: str, does: str, status: str = "ok", **more: object) -> dict[str, object]:
    return {
        "name": name, "does": does, "status": status, "detail": "", "instances": 1, "rate": 42.5, "lag": 0,
        "last_message_at": NOW - 400, "last_message_age_s": 0.4, "beat_age_s": 1.1, **more,
    }  # fmt: skip


def _topic(name: str, end: int, group: str, lag: int) -> dict[str, object]:
    reader = {"group": group, "position": end - lag, "lag": lag}
    return {"topic": name, "partition": 0, "start": 0, "end": end, "readers": [reader], "error": ""}


def _feed(symbol: str, stale_s: float, **more: object) -> dict[str, object]:
    counts = {"missing": 0, "holes": 0, "gaps": 0, "repaired": 0}
    return {
        "symbol": symbol,
        "watched": True,
        "feed_time": NOW - round(stale_s * 1000),
        "stale_s": stale_s,
        "complete": True,
        "covered_from": NOW - 7_200_000,
        **counts,
        **more,
    }


STATUS: dict[str, object] = {
    "time": NOW,
    "status": "degraded",
    "mode": "embedded",
    "source": "simulated",
    "version": "0.1.0",
    "stages": [
        _stage("ingest", "exchange → raw_trades"),
        _stage("process", "raw_trades → candles, coverage", lag=1240, status="degraded", detail="catching up"),
        _stage("repair", "gaps → REST → raw_trades", rate=0.0, last_message_at=None, last_message_age_s=None),
        _stage("sink", "log → ClickHouse", status="down", detail="no heartbeat for 34 s", beat_age_s=34.0),
        _stage("web", "tables and log → answers", rate=None),
    ],
    "problems": [],
    "topics": [
        _topic("raw_trades", 48_211, "process_trades", 1_240),
        _topic("candles_1m", 812, "sink", 0),
    ],
    "symbols": [
        _feed("BTCUSDT", 0.3, repaired=2),
        _feed("ETHUSDT", 41.0, complete=False, missing=12, gaps=1),
    ],
    "gaps": [
        {
            "symbol": "ETHUSDT",
            "from_id": 101,
            "to_id": 112,
            "count": 12,
            "from_time": NOW - 60_000,
            "to_time": NOW - 58_000,
            "opened_at": NOW - 57_000,
            "state": "open",
            "cause": "reconnect",
        }
    ],
}
