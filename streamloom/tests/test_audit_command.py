"""``manage.py audit``: its exit status, what it prints for people and for machines, and what it refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from analytics.audit import reads, repair, walk
from analytics.audit.findings import Check, Day, Difference, Dispute, Remedy, Skipped
from streamloom.demo import folder as folders
from streamloom.management.commands import audit as command

DAY = 1_559_347_200_000
SOUND = Day("BTCUSDT", "2019-06-01", DAY, DAY + 86_400_000, 5, 5, 3, 2, 1, 0, 0, 0, 0, "f" * 64)
WRONG = Difference(
    Check.CANDLES, "BTCUSDT", "not what its trades make", Remedy.RESTATE, "1m", DAY, fields={"high": ["2", "1"]}
)
LOST = Difference(Check.IDS, "BTCUSDT", "lost", Remedy.REFETCH, from_id=7, to_id=9, from_time=DAY, to_time=DAY + 5)


def differing() -> Day:
    fields = {name: getattr(SOUND, name) for name in SOUND.__struct_fields__}
    dispute = Dispute("15m", DAY, {"close": ["1", "2"]})
    return Day(**{**fields, "differences": (WRONG, LOST), "disputes": (dispute,)})


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the walk finds, instead of what is stored."""
    listed: list[Any] = [SOUND]
    monkeypatch.setattr(command, "_store", nullcontext)
    monkeypatch.setattr(reads, "symbols", lambda: ["BTCUSDT", "ETHUSDT"])
    monkeypatch.setattr(walk, "audit", lambda *_, **__: iter(listed))
    monkeypatch.setattr("ingestion.log.open_log", lambda: None)
    return listed


def told(*arguments: str) -> tuple[int, str]:
    """The exit status and what was printed."""
    out = StringIO()
    try:
        call_command("audit", *arguments, stdout=out, stderr=StringIO())
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_when_everything_agrees_the_status_is_0_and_a_line_says_so(found: list[Any]) -> None:
    status, text = told()

    assert status == 0
    assert "Everything that is stored agrees: 2 of 3 candles certified" in text


def test_a_difference_is_status_1_with_its_place_its_fields_and_what_to_do(found: list[Any]) -> None:
    found[:] = [differing()]

    status, text = told()

    assert status == 1
    assert "BTCUSDT 2019-06-01 1m 00:00: not what its trades make; high 2 instead of 1" in text
    assert "--repair publishes the candle again" in text
    assert "ids 7..9: lost" in text
    assert "15m 00:00: disputed, and told as such; close 1 instead of 2" in text
    assert "Differences: 1 candles, 1 ids" in text


def test_json_has_the_documented_shape(found: list[Any]) -> None:
    found[:] = [differing(), Skipped("ETHUSDT", "no minute of it has closed yet")]

    status, text = told("--json")
    answer = json.loads(text)

    assert status == 1
    assert set(answer) == {"agrees", "differences", "days", "skipped", "asked"}
    assert (answer["agrees"], answer["differences"], answer["asked"]) == (False, {"candles": 1, "ids": 1}, None)
    [day] = answer["days"]
    assert set(day) == set(Day.__struct_fields__) - {"restated"}
    assert day["differences"][0] == {
        "check": "candles",
        "symbol": "BTCUSDT",
        "what": "not what its trades make",
        "remedy": "restate",
        "interval": "1m",
        "open_time": DAY,
        "fields": {"high": ["2", "1"]},
    }
    assert answer["skipped"] == [{"symbol": "ETHUSDT", "why": "no minute of it has closed yet"}]


def test_repair_says_what_it_asked_for(found: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found[:] = [differing()]
    monkeypatch.setattr(repair, "ask", lambda *_: {Remedy.RESTATE: 1, Remedy.REFETCH: 1})

    status, text = told("--repair")

    assert status == 1
    assert "asked for: 1 × restate" in text
    assert "asked for: 1 × refetch" in text


def test_a_symbol_of_which_nothing_is_stored_is_refused(found: list[Any]) -> None:
    with pytest.raises(CommandError, match="Nothing is stored of XRPUSDT. Stored: BTCUSDT, ETHUSDT") as refused:
        told("--symbol", "btcusdt", "XRPUSDT")

    assert refused.value.returncode == 2


def test_a_store_that_is_away_is_no_difference(found: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> list[str]:
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(reads, "symbols", away)

    with pytest.raises(CommandError, match="ConnectionRefusedError: nobody listens. manage.py doctor") as refused:
        told()

    assert refused.value.returncode == 2


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "STREAMLOOM_MODE": "embedded", "STREAMLOOM_DATA_DIR": str(folder)}
    command_line = [sys.executable, "manage.py", "audit", *arguments]
    return subprocess.run(
        command_line, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--day", "yesterday"),
        ("--day", "2026-01-01", "--from", "2026-01-01"),
        ("--from", "2026-01-02", "--to", "2026-01-01"),
    ],
)
def test_wrong_usage_is_status_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run(tmp_path, *arguments).returncode == 2


def test_where_nothing_is_stored_it_says_where_it_looked(tmp_path: Path) -> None:
    done = run(tmp_path / "nothing")

    assert done.returncode == 2
    assert f"Nothing is stored in {tmp_path / 'nothing'}" in done.stderr


def test_beside_a_running_demo_it_says_who_has_the_folder_and_where_to_look_instead(tmp_path: Path) -> None:
    (tmp_path / "log.db").touch()
    with folders.hold(tmp_path):
        done = run(tmp_path)

    assert done.returncode == 2
    assert f"in use by process {os.getpid()}" in done.stderr
    assert "/status" in done.stderr
