"""One process holds a data folder, and it is of one exchange for ever."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamloom.demo.folder import FolderProblem, forget, hold, stamp

HOLDER = """
import sys
from pathlib import Path
from streamloom.demo.folder import hold
lock = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_in_use_names_the_process_and_the_way_out(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"

        with pytest.raises(FolderProblem) as problem:
            hold(tmp_path)
        other.kill()

    assert f"process {other.pid}" in str(problem.value)
    assert "--data-dir" in str(problem.value)


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()

    with hold(tmp_path):
        pass


def test_data_of_another_exchange_is_refused(tmp_path: Path) -> None:
    stamp(tmp_path, "simulated, seed 1", 5)
    stamp(tmp_path, "simulated, seed 1", 5)

    with pytest.raises(FolderProblem, match="--reset"):
        stamp(tmp_path, "binance at data-api.binance.vision", 5)


def test_forgetting_removes_everything_but_the_lock(tmp_path: Path) -> None:
    with hold(tmp_path):
        (tmp_path / "clickhouse").mkdir()
        (tmp_path / "clickhouse" / "part").touch()
        stamp(tmp_path, "one", 5)

        removed = forget(tmp_path)
        stamp(tmp_path, "another", 5)

    assert removed == ["clickhouse", "exchange.json"]


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FolderProblem, match="cannot be used"):
        hold(tmp_path / "file" / "data")


def test_the_folder_remembers_when_it_was_begun(tmp_path: Path) -> None:
    assert [stamp(tmp_path, "one", 7), stamp(tmp_path, "one", 99)] == [7, 7]
