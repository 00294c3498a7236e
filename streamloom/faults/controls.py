"""Negative controls: a protection is switched off, and what it guards must be reported as broken."""

import random
import signal
from typing import Final

from streamloom.faults.acts import kill, late_trades
from streamloom.faults.acts_sink import wake_five_times
from streamloom.faults.matrix import Act, Row
from streamloom.faults.sabotage import MARK, has_struck
from streamloom.faults.stage import SYMBOLS, Stage
from streamloom.supervisor.plan import ProcessPlan


def _restart_with(stage: Stage, sabotage: str, *names: str) -> None:
    for name in names:
        stage.crew[name].sabotage = sabotage
        kill(stage.crew[name], group=True)
        stage.crew[name].wait(5)


def _die_with(stage: Stage, name: str, sabotage: str) -> None:
    """Run a role with a sabotage that ends it once, then as it should be."""
    mark = stage.folder / f"mark-{name}-{sabotage}"
    stage.crew[name].extra = {MARK: str(mark)}
    _restart_with(stage, sabotage, name)
    stage.until(lambda: has_struck(mark), f"{name} dies with {sabotage}", 60)
    _restart_with(stage, "", name)


def restore_without_mark(stage: Stage, chance: random.Random) -> None:
    """A dead transaction hides the newest state of its successor from that one's successor."""
    first = stage.crew["process-0"]
    stage.crew["process-1"].hold()
    kill(stage.crew["process-1"])
    mark = stage.folder / "mark-dangle"
    first.sabotage, first.extra = "dangle", {MARK: str(mark)}
    kill(first)
    stage.until(lambda: has_struck(mark), "a transaction is left open", 60)
    first.hold()
    for slot in (2, 3):
        plan = ProcessPlan(f"process-{slot}", first.plan.args, {"STREAMLOOM_SLOT": str(slot)})
        member = stage.crew.add(plan)
        member.sabotage = "restore-without-mark"
        member.start()
        # Its predecessor's session lasts 10 s, the open transaction 60.
        stage.wait(17)
        if slot == 2:
            member.hold()
            kill(member)
    stage.wait(30)


def split_transaction(stage: Stage, chance: random.Random) -> None:
    _die_with(stage, "process-0", "split-transaction")


def advance_before_insert(stage: Stage, chance: random.Random) -> None:
    _die_with(stage, "worker", "advance-before-insert")


def no_dedup(stage: Stage, chance: random.Random) -> None:
    _restart_with(stage, "no-dedup", "process-0", "process-1")
    stage.exchange.change(double=0.1)
    stage.wait(12)


def no_lease(stage: Stage, chance: random.Random) -> None:
    _restart_with(stage, "no-lease", "worker")
    stage.until(stage.crew["worker"].children, "children")
    stage.wait(3)
    wake_five_times(stage, chance)
    stage.wait(5)


def no_roll_up_marks(stage: Stage, chance: random.Random) -> None:
    _restart_with(stage, "no-roll-up-marks", "worker")
    late_trades(stage, chance)


def hasty_rebuild(stage: Stage, chance: random.Random) -> None:
    _restart_with(stage, "hasty-rebuild", "worker")
    stage.until(stage.crew["worker"].children, "children")
    stage.exchange.change(drop=0.05)
    stage.wait(25)


def forget_closed(stage: Stage, chance: random.Random) -> None:
    _restart_with(stage, "forget-closed", "process-0", "process-1")
    stage.wait(12)


def untold_gaps(stage: Stage, chance: random.Random) -> None:
    _restart_with(stage, "untold-gaps", "process-0", "process-1")
    stage.exchange.change(drop=0.05)
    stage.wait(15)


def no_cursor(stage: Stage, chance: random.Random) -> None:
    # What came before its first candle is none that it can miss.
    stage.until(lambda: stage.listener.begun.keys() >= set(SYMBOLS), "a candle of each symbol")
    stage.listener.forgets = True
    web = stage.crew["web"]
    web.hold()
    web.send(signal.SIGTERM)
    stage.wait(8)
    web.start()


def _control(number: int, name: str, fault: str, expected: str, guards: str, act: Act) -> Row:
    return Row(number, name, fault, expected, act, spoils=True, control=True, guards=guards)


CONTROLS: Final[tuple[Row, ...]] = (
    _control(
        1,
        "restore without the high watermark",
        "a changelog is restored to the last stable offset, unchecked, behind a dead transaction",
        "trades doubled",
        "every trade is there once",
        restore_without_mark,
    ),
    _control(
        2,
        "advance before insert",
        "the sink's place moves first; killed in between",
        "trades lost from the table",
        "rows = records read",
        advance_before_insert,
    ),
    _control(
        3,
        "dedup off",
        "held trades are taken as new; the exchange doubles 10 %",
        "trades doubled",
        "every trade is there once",
        no_dedup,
    ),
    _control(
        4,
        "lease ignored",
        "everybody stores, nobody's advance is refused",
        "positions go back",
        "positions only go forward, without gap",
        no_lease,
    ),
    _control(
        5,
        "outputs and offsets in two transactions",
        "killed in between",
        "trades doubled",
        "every trade is there once",
        split_transaction,
    ),
    _control(
        6,
        "hours not marked again",
        "an hour is rolled up once only; then trades come late",
        "1h.n differs from Σ 1m.n",
        "1h.n = Σ 1m.n",
        no_roll_up_marks,
    ),
    _control(
        7,
        "a subscriber without its cursor",
        "web away for 8 s, no since, no snapshot",
        "candles lost",
        "subscribers see every closed candle",
        no_cursor,
    ),
    _control(
        8,
        "a rebuild that waits for nothing",
        "trades are stored 3 s late; a rebuild takes what is there, whatever was published",
        "a revision falls",
        "revisions only rise",
        hasty_rebuild,
    ),
    _control(
        9,
        "closed minutes not in the state",
        "processors start anew and take the last three minutes for open",
        "minutes closed twice",
        "a minute closes once",
        forget_closed,
    ),
    _control(
        10,
        "gaps not told",
        "5 % dropped, and no gap leaves the processor",
        "ids that are neither held nor missing",
        "hi - lo + 1 = distinct + missing + holes",
        untold_gaps,
    ),
)
