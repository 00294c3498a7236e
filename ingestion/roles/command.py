"""The management command around a role: signals, heartbeat, metrics, a clean end."""

import signal
import threading
from argparse import ArgumentParser
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError
from prometheus_client import start_http_server

from ingestion.log import close_log
from ingestion.roles.heartbeat import HeartbeatThread
from ingestion.roles.role import Role

logger = structlog.get_logger(__name__)


class RoleCommand(BaseCommand):
    """Runs ``make_role(options)`` until SIGINT or SIGTERM, then drains it and exits 0."""

    default_metrics_port = 0

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--metrics-port",
            type=int,
            default=self.default_metrics_port,
            help="serve Prometheus metrics on this port (0: do not)",
        )
        parser.add_argument(
            "--metrics-host", default="127.0.0.1", help="the interface of the metrics; 0.0.0.0 inside a container"
        )

    def make_role(self, options: dict[str, Any]) -> Role:
        raise NotImplementedError("a role's command makes its role")

    def handle(self, *args: Any, **options: Any) -> None:
        role = self.make_role(options)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        serve_metrics(options["metrics_port"], options["metrics_host"])
        heartbeat = HeartbeatThread(role)
        heartbeat.start()
        logger.info("role_started", role=role.name)
        try:
            role.run(stop)
        finally:
            heartbeat.stop()
            close_log()
        logger.info("role_stopped", role=role.name)


def serve_metrics(port: int, host: str = "127.0.0.1") -> None:
    """Serve this process's metrics; nothing for port 0. Raises CommandError when the port is busy."""
    if not port:
        return
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        raise CommandError(
            f"The metrics port {port} cannot be opened ({error.strerror}); choose another: --metrics-port (0: none)."
        ) from error
