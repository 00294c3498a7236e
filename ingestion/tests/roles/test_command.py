"""The command around a role: a clean end on a signal, metrics on a port of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management.base import CommandError

from ingestion.roles.command import serve_metrics

COMMANDS = ("ingest_trades", "process_trades", "repair_gaps")


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "STREAMLOOM_DATA_DIR": str(folder), "LOG_FORMAT": "json", "LOG_LEVEL": "INFO"}
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_the_role_and_ends_with_0(tmp_path: Path, number: int) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "STREAMLOOM_DATA_DIR": str(tmp_path)},
        check=True,
    )

    with start(tmp_path, "process_trades", "--metrics-port", "0") as running:
        assert running.stderr is not None
        assert any("role_started" in line for line in iter(running.stderr.readline, ""))
        running.send_signal(number)
        rest = running.stderr.read()

    assert running.returncode == 0
    assert "role_stopped" in rest


def test_a_busy_metrics_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(CommandError, match="--metrics-port"):
        serve_metrics(other.getsockname()[1])


def test_every_role_has_a_metrics_port_of_its_own_and_says_what_it_reads_and_writes() -> None:
    from django.core.management import load_command_class

    commands = [load_command_class("ingestion", name) for name in COMMANDS]

    assert len({command.default_metrics_port for command in commands}) == len(COMMANDS)
    assert all(command.default_metrics_port >= 2112 for command in commands)
    assert all(re.search(r"\b[Rr]ead\b.*\bwrite\b", command.help) for command in commands)
