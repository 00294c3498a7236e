"""What is done to the exchange, ingest, processors, repair and web."""

import random
import signal
from pathlib import Path
from typing import Final

from websockets.sync.client import connect

from markets.types import HOUR_MS, MINUTE_MS
from streamloom.faults.crew import Member
from streamloom.faults.invariants import Finding, Kind
from streamloom.faults.sabotage import MARK, Death, has_struck
from streamloom.faults.stage import SYMBOLS, Stage
from streamloom.supervisor.plan import ProcessPlan

TRANSACTION: Final = (
    Death("producer:begin_transaction", "before", 5),
    Death("producer:produce", "after", 40),
    Death("producer:send_offsets_to_transaction", "before", 5),
    Death("producer:send_offsets_to_transaction", "after", 5),
    Death("producer:commit_transaction", "before", 5),
    Death("producer:commit_transaction", "inside", 5),
    Death("producer:commit_transaction", "after", 5),
    Death("ingestion.log.kafka_reader:restore", "before"),
    Death("ingestion.log.kafka_reader:restore", "after"),
)
_DEAF: Final = 20


def kill(member: Member, *, group: bool = False) -> None:
    """SIGKILL; whoever keeps it starts it again."""
    member.send(signal.SIGKILL, group=group)


def die_at(stage: Stage, name: str, death: Death, *, timeout_s: float = 60.0) -> list[Finding]:
    """Start a role so that it dies there once; the answer tells when it never came to that line."""
    member = stage.crew[name]
    mark = Path(stage.folder) / f"mark-{name}-{member.starts}"
    member.sabotage, member.extra = death.name, {**member.extra, MARK: str(mark)}
    kill(member, group=True)
    try:
        stage.until(lambda: has_struck(mark), f"{name} dies {death.when} {death.target}", timeout_s)
    except AssertionError as error:
        return [Finding(Kind.WRONG, "the kill was aimed right", 1, str(error))]
    finally:
        member.sabotage = ""
    return []


def kill_again_and_again(stage: Stage, name: str, times: int, chance: random.Random) -> None:
    """SIGKILL at moments that come as they may."""
    for _ in range(times):
        stage.until(lambda: stage.crew[name].pid, f"{name} runs")
        stage.wait(chance.uniform(1.0, 4.0))
        kill(stage.crew[name])


def kill_ingest(stage: Stage, chance: random.Random) -> None:
    kill_again_and_again(stage, "ingest", stage.times(4), chance)


def disturb_streams(stage: Stage, chance: random.Random) -> None:
    exchange = stage.exchange
    exchange.do("cut")
    stage.wait(chance.uniform(1, 3))
    exchange.change(cut_every_s=2.0, drop=0.02)
    stage.wait(8)
    exchange.behave()
    exchange.change(frozen=True)
    stage.wait(20)
    exchange.behave()
    exchange.do("shutdown", delay_s=3)
    stage.wait(5)


def kill_processor_in_transaction(stage: Stage, chance: random.Random) -> list[Finding]:
    moments = stage.chosen(TRANSACTION, chance)
    return [finding for death in moments for finding in die_at(stage, "process-0", death)]


def freeze_processor(stage: Stage, chance: random.Random) -> None:
    for name in ("process-0", "process-1"):
        stage.crew[name].send(signal.SIGSTOP)
        stage.wait(14)
        stage.crew[name].send(signal.SIGCONT)
        stage.wait(chance.uniform(2, 4))


def double_slot(stage: Stage, chance: random.Random) -> list[Finding]:
    first = stage.crew["process-0"]
    before = first.starts
    second = stage.crew.add(ProcessPlan("process-0-again", first.plan.args, first.plan.env))
    second.start()
    stage.wait(12)
    second.hold()
    kill(second)
    if first.starts + second.starts <= before + 1:
        return [Finding(Kind.WRONG, "of two with one slot one is fenced", 1, "both went on")]
    return []


def shuffle_slots(stage: Stage, chance: random.Random) -> None:
    plan = ProcessPlan("process-2", stage.crew["process-0"].plan.args, {"STREAMLOOM_SLOT": "2"})
    third = stage.crew.add(plan)
    for _ in range(3):
        third.start()
        stage.wait(chance.uniform(4, 7))
        third.hold()
        third.send(chance.choice((signal.SIGKILL, signal.SIGTERM)))
        stage.wait(chance.uniform(0.5, 2))


def trouble_rest(stage: Stage, chance: random.Random) -> None:
    exchange = stage.exchange
    newest = stage.newest_due()
    # One of them lies at the end of a minute or begins one, sooner or later: their places come as they may.
    for symbol, count in ((SYMBOLS[0], 7), (SYMBOLS[0], 1), (SYMBOLS[1], 5)):
        first = newest[symbol] + chance.randrange(200, 400)
        newest[symbol] = first + count
        stage.dig(symbol, first, first + count - 1)
    exchange.change(drop=0.05, rest_lag_ms=20_000)
    for status in (429, 418):
        stage.wait(chance.uniform(2, 4))
        exchange.do("refuse", status=status, for_s=4, retry_after_s=2)
        stage.wait(chance.uniform(0, 2))
        kill(stage.crew["repair"])
    stage.wait(6)


def late_trades(stage: Stage, chance: random.Random) -> None:
    """Ids of BTCUSDT come when the minutes, and then the hour, that they belong to have closed."""
    symbol = SYMBOLS[0]
    newest = stage.newest_due()[symbol]
    stage.exchange.change(drop_ids={symbol: [[newest + 50, newest + 249]]})
    stage.exchange.do("refuse", status=418, for_s=150, retry_after_s=3)
    over = stage.exchange.now() // HOUR_MS * HOUR_MS + HOUR_MS + 5 * MINUTE_MS
    stage.until(lambda: stage.exchange.now() > over, "the end of the hour", 150)
    stage.exchange.do("refuse", status=418, for_s=0.01, retry_after_s=1)


def deaf_clients(stage: Stage, chance: random.Random) -> list[Finding]:
    web = stage.crew["web"]
    before = _resident_mb(web)
    wish = '{"op":"subscribe","id":1,"channel":"trades","symbol":"BTCUSDT"}'
    deaf = [connect(stage.url.replace("http", "ws") + "/ws", max_queue=1) for _ in range(_DEAF)]
    for socket in deaf:
        socket.send(wish)
    stage.wait(20)
    grown = _resident_mb(web) - before
    for socket in deaf:
        socket.close_socket() if hasattr(socket, "close_socket") else socket.close()
    if grown > 60:
        return [Finding(Kind.WRONG, "memory stays flat", 1, f"{grown:.0f} MB more")]
    return []


def _resident_mb(member: Member) -> float:
    text = Path(f"/proc/{member.pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def end_web(stage: Stage, chance: random.Random) -> list[Finding]:
    web, findings = stage.crew["web"], []
    for _ in range(2):
        stage.until(lambda: stage.get("/health/live"), "web answers")
        stage.wait(chance.uniform(2, 4))
        web.send(signal.SIGTERM)
        if web.wait(10) is None:
            findings.append(Finding(Kind.WRONG, "web ends within 10 s", 1, "it did not"))
    if 1012 not in stage.listener.closings:
        told = f"closed with {stage.listener.closings}"
        findings.append(Finding(Kind.WRONG, "sockets are closed with 1012", 1, told))
    return findings
