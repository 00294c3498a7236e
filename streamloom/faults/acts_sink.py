"""What is done to the dispatcher, the Celery worker and what they ask."""

import os
import random
import signal
from typing import Final

from celery import Celery

from analytics.sink.tables import ROUTES
from streamloom.faults.acts import die_at, kill, kill_again_and_again
from streamloom.faults.invariants import Finding, Kind
from streamloom.faults.place import PARTITIONS
from streamloom.faults.proxy import LosingProxy
from streamloom.faults.sabotage import Death
from streamloom.faults.stage import SYMBOLS, Stage

_INSERT: Final = "clickhouse_connect.driver.client:Client.insert_arrow"
SINK: Final = (
    Death(_INSERT, "before", 3),
    Death(_INSERT, "inside", 3),
    Death("analytics.sink.positions:advance", "before", 3),
    Death("analytics.sink.positions:advance", "inside", 3),
    Death("analytics.sink.positions:advance", "after", 3),
)
_AT_ONCE: Final = 5


def kill_dispatcher(stage: Stage, chance: random.Random) -> list[Finding]:
    wake = "analytics.sink.dispatch:Wakes.sink"
    findings = [f for when in ("before", "after") for f in die_at(stage, "dispatch", Death(wake, when, 3))]
    kill_again_and_again(stage, "dispatch", stage.times(2), chance)
    return findings


def kill_children(stage: Stage, chance: random.Random) -> list[Finding]:
    findings = [finding for death in stage.chosen(SINK, chance) for finding in die_at(stage, "worker", death)]
    for _ in range(stage.times(4)):
        children = stage.until(stage.crew["worker"].children, "children")
        stage.wait(chance.uniform(0.5, 2))
        _send_kill(chance.choice(children))
    return findings


def _send_kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def kill_worker(stage: Stage, chance: random.Random) -> None:
    for _ in range(2):
        stage.until(stage.crew["worker"].children, "children")
        stage.wait(chance.uniform(2, 5))
        kill(stage.crew["worker"], group=True)


def wake_five_times(stage: Stage, chance: random.Random) -> None:
    app = Celery(broker=stage.place.redis_url)
    for _ in range(8):
        for topic in ROUTES:
            for partition in range(PARTITIONS):
                for _ in range(_AT_ONCE):
                    app.send_task("analytics.sink", args=(topic, partition), expires=30)
        stage.wait(chance.uniform(0.5, 1.5))
    app.close()


def lose_answers(stage: Stage, chance: random.Random) -> list[Finding]:
    worker = stage.crew["worker"]
    proxy = LosingProxy(stage.place.clickhouse_url)
    worker.extra = {**worker.extra, "CLICKHOUSE_URL": proxy.url}
    kill(worker, group=True)
    try:
        stage.until(worker.children, "children")
        stage.wait(3)
        for _ in range(6):
            proxy.to_lose += 1
            stage.until(lambda: proxy.to_lose == 0, "an insert", 60)
            stage.wait(chance.uniform(0.5, 1.5))
    finally:
        worker.extra = {name: value for name, value in worker.extra.items() if name != "CLICKHOUSE_URL"}
        kill(worker, group=True)
        proxy.close()
    if proxy.lost < 6:
        return [Finding(Kind.WRONG, "answers were lost", 1, f"only {proxy.lost}")]
    return []


def kill_rebuild(stage: Stage, chance: random.Random) -> list[Finding]:
    """Late trades make buckets dirty all the time; the worker dies after it has published."""
    symbol = SYMBOLS[0]
    findings = []
    for when in ("before", "after"):
        newest = stage.newest_due()[symbol]
        stage.exchange.change(drop_ids={symbol: [[newest + 50, newest + 80]]})
        stage.exchange.do("refuse", status=429, for_s=5, retry_after_s=1)
        findings += die_at(stage, "worker", Death("analytics.candles.dirty:done", when))
    return findings


def wrong_clocks(stage: Stage, chance: random.Random) -> None:
    wrong = {"worker": "clock=3600", "dispatch": "clock=-3600", "process-0": "clock=3600", "ingest": "clock=3600"}
    for name, sabotage in wrong.items():
        stage.crew[name].sabotage = sabotage
        kill(stage.crew[name], group=True)
    stage.wait(20)
    for name in wrong:
        stage.crew[name].sabotage = ""
        kill(stage.crew[name], group=True)
