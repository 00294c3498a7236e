"""The thread that says how a role goes: a row every two seconds, never in the way of the loop."""

import datetime as dt
import os
import socket
import threading

import structlog
from django.db import DatabaseError, connection

from ingestion.models import Heartbeat
from ingestion.roles.role import Pulse, Role

logger = structlog.get_logger(__name__)

EVERY_S = 2.0
_DETAIL_MOST = 400


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
        while True:
            self._beat_safely()
            if self._stop_event.wait(EVERY_S):
                break
        connection.close()

    def _beat_safely(self) -> None:
        try:
            self.beat(self._role.pulse())
            self._is_failing = False
        except DatabaseError as error:
            if not self._is_failing:
                logger.warning(
                    "heartbeat_failed", role=self._role.name, error=str(error), fix="check the database"
                )
            self._is_failing = True
            connection.close()

    def beat(self, pulse: Pulse) -> None:
        """Write one row."""
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
