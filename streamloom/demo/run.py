"""The demo: every role as a thread of this process, started in order and stopped in order."""

import secrets
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command

from analytics.reading.tail import close_tail
from ingestion.binance.rest import BinanceRest, ExchangeError
from ingestion.binance.simulator.server import SimulatedExchange, SimulatorConfig
from ingestion.log import close_log
from markets import services
from markets.models import Symbol
from markets.selectors import watched
from streamloom.demo.progress import HistoryProgress
from streamloom.demo.source import SEED
from streamloom.demo.threads import BeatThread, RoleThread, WebThread, WorkerThread, listen
from streamloom.wiring import embedded_roles

logger = structlog.get_logger(__name__)

# Each part gets this long to drain; together they stay within the ten seconds of a clean stop.
_DRAIN_S = 4.0
_STOP_WITHIN_S = 9.0
_ASK_AGAIN_S = 2.0


@dataclass
class Demo:
    """The running parts. ``symbols``: watch exactly these (None: as the data folder says); ``tell``: prints a line.

    ``origin_ms``: when the data folder was begun, by the machine's clock: the simulated exchange counts from there.
    ``has_failed``: it ended because a part that it cannot be without did.
    """

    port: int
    symbols: list[str] | None
    history_ms: int
    speed: float
    tell: Callable[[str], None]
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    origin_ms: int = 0
    has_failed: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    _exchange: SimulatedExchange | None = None
    _web: WebThread | None = None
    _worker: WorkerThread | None = None
    _beat: BeatThread | None = None
    _roles: list[RoleThread] = field(default_factory=list)
    _progress: HistoryProgress | None = None

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start everything, call ``on_ready`` when the page can be opened, and return after a clean stop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stopping.set())
        listener = listen(self.port)
        try:
            self._migrate()
            self._web = WebThread(listener, self._fail)
            self._web.start()
            self._start_exchange()
            self._prepare_symbols()
            self._start_roles()
            on_ready()
            self.stopping.wait()
        finally:
            self.stop()

    def _fail(self) -> None:
        self.has_failed = True
        self.stopping.set()

    def _migrate(self) -> None:
        call_command("migrate", verbosity=0)
        call_command("clickhouse_migrate", stdout=_Quiet())
        admin, _ = User.objects.get_or_create(username="admin", defaults={"is_staff": True, "is_superuser": True})
        admin.set_password(self.password)
        admin.save()

    def _start_exchange(self) -> None:
        if settings.STREAMLOOM_SOURCE != "simulated":
            return
        now = time.time_ns() // 1_000_000
        # As if it had run since the data began: a restart goes on, whatever the speed, and never back.
        start = self.origin_ms + round((now - self.origin_ms) * self.speed)
        self._exchange = SimulatedExchange(SimulatorConfig(seed=SEED, speed=self.speed, start_ms=start))
        self._exchange.start(port=int(settings.BINANCE_REST_URL.rsplit(":", 1)[1]))

    def _prepare_symbols(self) -> None:
        """Learn the symbols from the exchange; without it, what an earlier start learnt must do."""
        rest = BinanceRest(settings.BINANCE_REST_URL)
        while not self.stopping.is_set():
            try:
                services.apply_exchange_info(rest.exchange_info())
                break
            except ExchangeError as error:
                logger.warning("exchange_info_failed", error=str(error), again_in_s=_ASK_AGAIN_S)
                if Symbol.objects.exists():
                    break
                self.stopping.wait(_ASK_AGAIN_S)
        if self.symbols is not None:
            self._watch(self.symbols)

    def _watch(self, symbols: list[str]) -> None:
        known = set(Symbol.objects.filter(symbol__in=symbols).values_list("symbol", flat=True))
        unknown = [symbol for symbol in symbols if symbol not in known]
        if unknown:
            self.tell(
                f"The exchange does not know {', '.join(unknown)}; watching {', '.join(sorted(known)) or 'none'}."
            )
        services.watch_exactly(known)

    def example(self) -> str:
        """A symbol to show an example with: a watched one when there is any."""
        return next(iter(sorted(watched())), "BTCUSDT")

    def _start_roles(self) -> None:
        self._worker = WorkerThread()
        self._worker.start()
        self._beat = BeatThread()
        self._beat.start()
        self._roles = [RoleThread(plan) for plan in embedded_roles(self.history_ms)]
        # Readers before writers, so that nothing waits for a part that is not there yet.
        for role in reversed(self._roles):
            role.start()
        self._progress = HistoryProgress(self.tell)
        self._progress.start()

    def stop(self) -> None:
        """Stop every part in the order of the flow. What is not done then is done at the next start."""
        self.stopping.set()
        deadline = time.monotonic() + _STOP_WITHIN_S
        if self._progress is not None:
            self._progress.stop()
        for thread in (self._beat, *self._roles, self._worker, self._web):
            if thread is None or not thread.is_alive():
                continue
            thread.stop()
            thread.join(max(0.1, min(_DRAIN_S, deadline - time.monotonic())))
            if thread.is_alive():
                logger.warning("part_did_not_stop", part=thread.name, then="its work is repeated at the next start")
        if self._exchange is not None:
            self._exchange.stop()
        close_tail()
        close_log()


class _Quiet:
    """A place for a command's words that nobody needs."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None: ...
