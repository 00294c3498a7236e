"""``manage.py simulate_exchange``."""

import re
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from django.core.management import CommandError, call_command

from ingestion.management.commands.simulate_exchange import Command

ROOT = Path(__file__).parents[4]


def test_it_says_where_it_serves_and_ends_cleanly():
    command = [sys.executable, "manage.py", "simulate_exchange", "--port", "0", "--seed", "3", "--drop", "0.5"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        lines = [process.stdout.readline() for _ in range(4)]
        told = re.search(r"http://\S+?(?=/api)", lines[0])
        faults = httpx2.get(f"{told.group()}/control/faults").json()
        symbols = httpx2.get(f"{told.group()}/api/v3/exchangeInfo").json()["symbols"]
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=20)

    assert code == 0
    assert faults["drop"] == 0.5
    assert {symbol["symbol"] for symbol in symbols} == set(lines[3].split()[1:])


def test_a_taken_port_is_a_clear_error():
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(CommandError, match=f"cannot serve on 127.0.0.1:{port}.*--port"):
            call_command("simulate_exchange", port=port)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--replay", "/no/such/BTCUSDT.csv"], "no such file"),
        (["--hole", "BTCUSDT"], "is not SYMBOL:FROM-TO"),
        (["--speed", "-1"], "speed must be 0 or above"),
        (["--start", "yesterday"], "yesterday"),
    ],
)
def test_options_that_make_no_sense_are_clear_errors(options, problem):
    with pytest.raises(CommandError, match=problem):
        call_command("simulate_exchange", "--port", "0", *options)


def test_its_help_has_an_example_of_each_source_and_of_faults():
    text = Command().create_parser("manage.py", "simulate_exchange").format_help()

    for example in ("--seed 7", "--replay BTCUSDT-aggTrades", "--cut-every 30", "/control/faults -d", "--speed 0"):
        assert example in text
