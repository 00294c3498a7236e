"""The supervisor shows every line, starts again what ends, and ends all of it in time."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from django.conf import settings

from streamloom.supervisor.plan import Kind, ProcessPlan, roles
from streamloom.supervisor.run import PreparationFailed, Supervisor

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
POLITE = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"


def shell(name: str, script: str, kind: Kind = Kind.ROLE, **env: str) -> ProcessPlan:
    return ProcessPlan(name, ("sh", "-c", script), env, kind)


class Stage:
    """A supervisor and what its processes said."""

    def __init__(self, folder: Path) -> None:
        self.said: list[tuple[str, str]] = []
        self.supervisor = Supervisor(folder, lambda name, line: self.said.append((name, line)), random.Random(1))

    async def hears(self, name: str, line: str, times: int = 1, within_s: float = 10) -> None:
        deadline = time.monotonic() + within_s
        while self.said.count((name, line)) < times:
            assert time.monotonic() < deadline, f"{name} did not say {line!r} {times} times: {self.said}"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(
    stage: Stage, roles: list[ProcessPlan], preparations: list[ProcessPlan] | None = None
) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """The processes; call what is yielded to end them: it answers how long that took."""
    task = asyncio.create_task(stage.supervisor.run(preparations or [], roles))

    async def end() -> float:
        started = time.monotonic()
        stage.supervisor.stop()
        await task
        return time.monotonic() - started

    yield end
    stage.supervisor.stop()
    await task


async def test_every_line_is_shown_under_its_role_even_the_last_without_an_end(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async with running(stage, [shell("a", "echo one; echo two >&2; printf three; exec sleep 60", A="1")]) as end:
        await stage.hears("a", "two")
        await end()

    assert stage.said[:3] == [("a", "one"), ("a", "two"), ("a", "three")]


async def test_what_ends_is_started_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async with running(stage, [shell("a", "echo started; exit 3")]):
        await stage.hears("a", "started", times=2)


async def test_a_task_is_repeated_until_it_succeeds_and_then_left_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    once = "test -e tried && echo done && exit 0; touch tried; exit 1"

    async with running(stage, [shell("task", once, Kind.UNTIL_DONE), shell("clock", "echo tick; sleep 0.1")]):
        await stage.hears("task", "done")
        await stage.hears("clock", "tick", times=3)

    assert stage.said.count(("task", "done")) == 1


async def test_all_drain_when_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async with running(stage, [shell("a", POLITE), shell("b", POLITE)]) as end:
        await stage.hears("a", "ready")
        await stage.hears("b", "ready")
        took_s = await end()

    assert {("a", "bye"), ("b", "bye")} <= set(stage.said)
    assert took_s < 4


async def test_what_does_not_drain_is_killed_with_its_children_within_ten_seconds(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async with running(stage, [shell("a", f'sh -c "{STUBBORN}" & echo $!; wait')]) as end:
        await stage.hears("a", "ready")
        child = int(next(line for _, line in stage.said if line.isdigit()))
        took_s = await end()

    assert took_s < 10
    assert not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes()


async def test_nothing_starts_when_a_preparation_fails(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    with pytest.raises(PreparationFailed, match="second"):
        await stage.supervisor.run([shell("first", "echo ok"), shell("second", "exit 1")], [shell("role", "echo no")])

    assert stage.said == [("first", "ok")]


async def test_a_stop_during_a_preparation_ends_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async with running(stage, [shell("role", "echo no")], [shell("long", POLITE)]) as end:
        await stage.hears("long", "ready")
        await end()

    assert ("role", "no") not in stage.said


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an orphan lives on")
def test_processes_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import asyncio, random, sys; from pathlib import Path\n"
        "from streamloom.supervisor.plan import ProcessPlan\n"
        "from streamloom.supervisor.run import Supervisor\n"
        "tell = lambda name, line: print(line, flush=True)\n"
        "plan = ProcessPlan('a', ('sh', '-c', 'echo $$; exec sleep 60'))\n"
        "asyncio.run(Supervisor(Path('.'), tell, random.Random()).run([], [plan]))\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    child = int(owner.stdout.readline())

    owner.send_signal(signal.SIGKILL)
    owner.communicate()

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
    pytest.fail(f"process {child} lives on")


def test_each_process_has_its_own_name_slot_and_metrics_port() -> None:
    plans = roles(port=8000, slots=3, workers=2, metrics=Path("/nowhere"))

    names = [plan.name for plan in plans]
    ports = [plan.args[plan.args.index("--metrics-port") + 1] for plan in plans if "--metrics-port" in plan.args]
    ports += [plan.env["STREAMLOOM_WORKER_METRICS"].rpartition(":")[2] for plan in plans if plan.name == "worker"]
    slots = [plan.env["STREAMLOOM_SLOT"] for plan in plans if plan.name.startswith("process-")]
    assert len(set(names)) == len(names)
    assert sorted(ports) == ["2112", "2113", "2114", "2115", "2116", "2117", "2118", "2119"]
    assert slots == ["0", "1", "2"]
