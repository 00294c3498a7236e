"""What the demo takes on its command line, and what it says when it cannot start."""

import os
import socket
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from streamloom.demo.folder import hold
from streamloom.management.commands.demo import _welcome, port_number, span_ms, speed_factor, symbol_list


@pytest.mark.parametrize(
    ("text", "expected"), [("2h", 7_200_000), ("90m", 5_400_000), ("30s", 30_000), ("1d", 86_400_000), ("0", 0)]
)
def test_a_span_is_a_number_and_a_unit(text: str, expected: int) -> None:
    assert span_ms(text) == expected


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (span_ms, "2"),
        (span_ms, "-1h"),
        (span_ms, "two hours"),
        (port_number, "0"),
        (port_number, "65536"),
        (port_number, "http"),
        (speed_factor, "0"),
        (speed_factor, "fast"),
        (speed_factor, "nan"),
        (symbol_list, " , "),
    ],
)
def test_nonsense_is_refused_with_what_is_allowed(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        read(text)


def test_symbols_are_upper_case_and_named_once() -> None:
    assert symbol_list("btcusdt, ETHUSDT,BTCUSDT") == ["BTCUSDT", "ETHUSDT"]


def test_the_curl_line_is_one_line() -> None:
    lines = _welcome(8123, "secret", Path("var"), "ADAUSDT").splitlines()

    [curl] = [line for line in lines if "curl" in line]
    assert curl.endswith("curl 'http://127.0.0.1:8123/candles?symbol=ADAUSDT&interval=1m&limit=3'")


def demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", "demo", "--source", "simulated", *map(str, arguments)],
        cwd=settings.BASE_DIR,
        env={**os.environ, "LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_a_busy_port_is_a_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        ended = demo("--port", port, "--data-dir", tmp_path)

    assert ended.returncode == 1
    assert f"Port {port} is busy" in ended.stderr
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_in_use_is_a_clear_error(tmp_path: Path) -> None:
    with hold(tmp_path / "simulated"):
        ended = demo("--port", "65000", "--data-dir", tmp_path)

    assert ended.returncode == 1
    assert f"in use by process {os.getpid()}" in ended.stderr
    assert "Traceback" not in ended.stderr
