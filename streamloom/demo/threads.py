"""Roles, the web server and the Celery worker as threads of one process, each with a clean stop."""

import random
import socket
import threading
from collections.abc import Callable
from typing import Any

import structlog
import uvicorn
from django.db import connections

from ingestion import metrics
from ingestion.roles.heartbeat import HeartbeatThread
from streamloom.web import APPLICATION, server_options
from streamloom.wiring import RolePlan

logger = structlog.get_logger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0
# A backfill and a rebuild may take seconds each: what stores the live records must not wait for them.
_TASKS = 3


class RoleThread(threading.Thread):
    """Runs a role; one that fails is told and started anew after a pause that grows."""

    def __init__(self, plan: RolePlan) -> None:
        super().__init__(name=plan.name, daemon=True)
        self._plan = plan
        self._stop_event = threading.Event()

    def stop(self) -> None:
        """Ask the role to drain."""
        self._stop_event.set()

    def run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stop_event.is_set():
            if self._run_once():
                break
            metrics.ROLE_RESTARTS.labels(self._plan.name).inc()
            # Jitter, so that roles which failed together do not come back together.
            self._stop_event.wait(pause_s * random.uniform(0.8, 1.2))  # noqa: S311
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        connections.close_all()

    def _run_once(self) -> bool:
        """True when the role ended because it was told to."""
        heartbeat = None
        try:
            role = self._plan.make()
            heartbeat = HeartbeatThread(role)
            heartbeat.start()
            role.run(self._stop_event)
        except Exception:  # noqa: BLE001 - the thread's top: what failed starts again from its last commit
            logger.exception("role_failed", role=self._plan.name, then="it starts again from its last commit")
            return False
        finally:
            if heartbeat is not None:
                heartbeat.stop()
        return True


class WebThread(threading.Thread):
    """The web server on a socket that is bound already, so that the port is open before the application is.

    ``on_failure`` is called when it ends without having been told to: a demo without its page is no demo.
    """

    def __init__(self, listener: socket.socket, on_failure: Callable[[], None]) -> None:
        super().__init__(name="web", daemon=True)
        self._listener = listener
        self._on_failure = on_failure
        self._server = uvicorn.Server(uvicorn.Config(APPLICATION, **server_options()))

    def stop(self) -> None:
        """Close every socket with 1012 and stop serving."""
        self._server.should_exit = True

    def run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        except (Exception, SystemExit):  # noqa: BLE001 - the thread's top; uvicorn exits when the application fails to load
            logger.exception("web_failed", fix="see the error above; manage.py check tells whether the project loads")
        if not self._server.should_exit:
            self._on_failure()


class WorkerThread(threading.Thread):
    """A Celery worker with a pool of threads. It serves wake-ups only: what it does not do now is done later."""

    def __init__(self) -> None:
        super().__init__(name="worker", daemon=True)
        self._stop_event = threading.Event()
        self._worker = _make_worker()

    def stop(self) -> None:
        """Let running tasks end, take no more."""
        self._stop_event.set()
        threading.Thread(target=self._worker.stop, name="worker-stop", daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                self._worker.start()
            except Exception:  # noqa: BLE001 - the thread's top: wake-ups that are lost are given again
                logger.exception("worker_failed", then="another one is started")
            if self._stop_event.wait(_FIRST_PAUSE_S):
                break
            self._worker = _make_worker()
        connections.close_all()


class BeatThread(threading.Thread):
    """Celery's beat: gives the wake-ups of the schedule. One that is lost is given again with the next."""

    def __init__(self) -> None:
        super().__init__(name="beat", daemon=True)
        self._stop_event = threading.Event()

    def stop(self) -> None:
        """Give no more wake-ups."""
        self._stop_event.set()

    def run(self) -> None:
        scheduler = _make_scheduler()
        pause_s = 0.0
        while not self._stop_event.wait(pause_s):
            try:
                pause_s = scheduler.tick()
            except Exception:  # noqa: BLE001 - the thread's top: wake-ups that are lost are given again
                logger.exception("beat_failed", then="it goes on")
                pause_s = _LONGEST_PAUSE_S


def _make_scheduler() -> Any:
    from celery.beat import Scheduler

    from streamloom.celery import app

    return Scheduler(app=app)


def _make_worker() -> Any:
    from streamloom.celery import app

    return app.WorkController(
        pool="threads", concurrency=_TASKS, without_mingle=True, without_gossip=True, without_heartbeat=True
    )


def listen(port: int) -> socket.socket:
    """A listening socket of the loopback interface. Raises OSError when the port is busy."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
