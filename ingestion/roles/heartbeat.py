"""The thread that says how a role goes: a row every two seconds, never in the way of the loop."""

import datetime as dt
import os
import socket
import threading
from collections.abc import Callable

import structlog
from django.db import DatabaseError, connection

from ingestion import metrics
from ingestion.models import Heartbeat
from ingestion.roles.role import Pulse, Role

logger = structlog.get_logger(__name__)

EVERY_S = 2.0
_DETAIL_MOST = 400
# Rows of earlier starts are of no use to anybody after this.
_FORGOTTEN = dt.timedelta(days=1)


def instance_name() -> str:
    """Host and process: what tells two instances of a role apart."""
    return f"{socket.gethostname()}:{os.getpid()}"


class HeartbeatThread(threading.Thread):
    """Writes the role's pulse until stopped. The database being away is logged once and survived."""

    def __init__(self, role: Role, instance: str | None = None) -> None:
        super().__init__(name=f"heartbeat-{role.name}", daemon=True)
        self._role = role
        self._instance = instance or instance_name()
        self._stop_event = threading.Event()
        self._processed = 0
        self._is_failing = False

    def stop(self) -> None:
        """Stop beating; the last row stays."""
        self._stop_event.set()

    def run(self) -> None:
        self._safely(self._forget_old)
        while True:
            self._safely(lambda: self.beat(self._role.pulse()))
            if self._stop_event.wait(EVERY_S):
                break
        connection.close()

    def _safely(self, act: Callable[[], None]) -> None:
        try:
            act()
            self._is_failing = False
        except DatabaseError as error:
            self._tell_once(error, "check the database")
            connection.close()
        except Exception as error:  # noqa: BLE001 - the thread's top: a sign of life must not end by a bad pulse
            self._tell_once(error, "the role still runs; report this")

    def _tell_once(self, error: Exception, fix: str) -> None:
        # A role that has ended has closed what its pulse looks at.
        if not self._is_failing and not self._stop_event.is_set():
            logger.warning("heartbeat_failed", role=self._role.name, error=str(error), fix=fix)
        self._is_failing = True

    def _forget_old(self) -> None:
        before = dt.datetime.now(tz=dt.UTC) - _FORGOTTEN
        Heartbeat.objects.filter(role=self._role.name, beat_at__lt=before).delete()

    def beat(self, pulse: Pulse) -> None:
        """Show the pulse in the metrics, then write one row."""
        measure(self._role.name, pulse)
        rate = max(pulse.processed - self._processed, 0) / EVERY_S
        self._processed = pulse.processed
        last = pulse.last_message_ms
        Heartbeat.objects.update_or_create(
            role=self._role.name,
            instance=self._instance,
            defaults={
                "rate": rate,
                "lag": pulse.lag,
                "last_message_at": None if last is None else dt.datetime.fromtimestamp(last / 1000, tz=dt.UTC),
                "status": pulse.status,
                "detail": pulse.detail[:_DETAIL_MOST],
                "beat_at": dt.datetime.now(tz=dt.UTC),
            },
        )


def measure(role: str, pulse: Pulse) -> None:
    """Show a pulse in the metrics of this process."""
    metrics.ROLE_PROCESSED.labels(role).set(pulse.processed)
    metrics.ROLE_OK.labels(role).set(pulse.status == "ok")
    if pulse.lag is not None:
        metrics.ROLE_LAG.labels(role).set(pulse.lag)
    if pulse.last_message_ms is not None:
        metrics.ROLE_LAST_MESSAGE.labels(role).set(pulse.last_message_ms / 1000)
