"""An answer of ``/status.json`` with one of everything: late, down, a gap."""

NOW = 1_700_000_025_000


def _stage(name: str, does: str, status: str = "ok", **more: object) -> dict[str, object]:
    return {
        "name": name, "does": does, "status": status, "detail": "", "instances": 1, "rate": 42.5, "lag": 0,
        "last_message_at": NOW - 400, "last_message_age_s": 0.4, "beat_age_s": 1.1, **more,
    }  # fmt: skip


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
        _stage("web", "ClickHouse, log → answers", lag=None, rate=3.0),
    ],
    "topics": [
        {"topic": "raw_trades", "partition": 0, "start": 0, "end": 48_211, "readers": [{"group": "process_trades", "position": 46_971, "lag": 1_240}]},
        {"topic": "candles_1m", "partition": 0, "start": 0, "end": 812, "readers": [{"group": "sink", "position": 812, "lag": 0}]},
    ],
    "symbols": [
        {"symbol": "BTCUSDT", "feed_time": NOW - 300, "stale_s": 0.3, "complete": True, "missing": 0, "holes": 0, "gaps": 0, "repaired": 2, "covered_from": NOW - 7_200_000},
        {"symbol": "ETHUSDT", "feed_time": NOW - 41_000, "stale_s": 41.0, "complete": False, "missing": 12, "holes": 0, "gaps": 1, "repaired": 0, "covered_from": NOW - 7_200_000},
    ],
    "gaps": [
        {"symbol": "ETHUSDT", "from_id": 101, "to_id": 112, "count": 12, "from_time": NOW - 60_000, "to_time": NOW - 58_000, "opened_at": NOW - 57_000, "state": "open", "cause": "reconnect"},
    ],
}  # fmt: skip
