"""Start the processes, show their lines, start again what ends, and end all of them within ten seconds."""

import asyncio
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from streamloom.supervisor.plan import Kind, ProcessPlan

logger = structlog.get_logger(__name__)

# All together end within ten seconds: what has not drained by then is killed, and repeats that work when it is back.
_DRAIN_S: Final = 8.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 15.0
# Who ran for so long did not fail at its start: its next pause is short again.
_WELL_AFTER_S: Final = 60.0
_READ_BYTES: Final = 65_536

Tell = Callable[[str, str], None]


class PreparationFailed(Exception):
    """Something that every role needs could not be done; its own lines say why."""


class Supervisor:
    """Runs processes until it is told to stop. ``tell(name, line)`` is given every line that they write."""

    def __init__(self, folder: Path, tell: Tell, chance: random.Random) -> None:
        self._folder = folder
        self._tell = tell
        self._chance = chance
        self._stop = asyncio.Event()
        self._running: dict[str, asyncio.subprocess.Process] = {}

    def stop(self) -> None:
        """End everything; ``run`` returns when that is done. Safe to repeat, from the loop's thread."""
        self._stop.set()

    async def run(self, preparations: Sequence[ProcessPlan], roles: Sequence[ProcessPlan]) -> None:
        """Prepare, then keep the roles running until ``stop``. Raises PreparationFailed."""
        try:
            for plan in preparations:
                await self._prepare(plan)
            await asyncio.gather(*(self._keep(plan) for plan in roles), self._end_when_told())
        finally:
            self._kill_all()

    async def _prepare(self, plan: ProcessPlan) -> None:
        ending = asyncio.create_task(self._end_when_told())
        status = await self._once(plan)
        ending.cancel()
        if status and not self._stop.is_set():
            raise PreparationFailed(plan.name)

    async def _keep(self, plan: ProcessPlan) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            started = time.monotonic()
            status = await self._once(plan)
            if self._stop.is_set() or (plan.kind is Kind.UNTIL_DONE and status == 0):
                return
            if time.monotonic() - started > _WELL_AFTER_S:
                pause_s = _FIRST_PAUSE_S
            # Jitter, so that those which failed together do not come back together.
            wait_s = pause_s * self._chance.uniform(0.8, 1.2)
            logger.warning("process_ended", process=plan.name, status=status, starts_again_in_s=round(wait_s, 1))
            await self._wait(wait_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _once(self, plan: ProcessPlan) -> int:
        """Run it to its end; the answer is its exit status, negative for a signal."""
        if self._stop.is_set():
            return 0
        process = await asyncio.create_subprocess_exec(
            *_dies_with_us(plan.args),
            cwd=self._folder,
            env={**os.environ, **plan.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Ctrl-C at the terminal is for us: we pass it on once, and to everybody.
            start_new_session=True,
        )
        self._running[plan.name] = process
        if self._stop.is_set():
            process.terminate()
        try:
            await self._show(plan.name, process)
            return await process.wait()
        finally:
            self._running.pop(plan.name, None)

    async def _show(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        rest = b""
        while chunk := await process.stdout.read(_READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._tell(name, line.decode(errors="replace"))
        if rest:
            self._tell(name, rest.decode(errors="replace"))

    async def _end_when_told(self) -> None:
        await self._stop.wait()
        for process in list(self._running.values()):
            process.terminate()
        deadline = time.monotonic() + _DRAIN_S
        while self._running and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        for name in self._running:
            logger.warning("process_did_not_drain", process=name, then="it is killed; its work is repeated later")
        self._kill_all()

    def _kill_all(self) -> None:
        for process in self._running.values():
            try:
                # With the children that it forked: they share its session.
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _dies_with_us(args: Sequence[str]) -> Sequence[str]:
    """Where the system can, a process is told to end when its supervisor is killed."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", "TERM", "--", *args] if setpriv else args
