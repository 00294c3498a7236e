import json
import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from streamloom.bench.catalogue import PATHS


def test_every_path_gives_what_its_naive_version_gives(tmp_path):
    # A process of its own: the engine's folder is the whole process's.
    command = [sys.executable, "manage.py", "bench", "--trades", "120", "--rounds", "1", "--json"]
    environment = {**os.environ, "STREAMLOOM_DATA_DIR": str(tmp_path / "data")}

    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr.decode()
    figures = json.loads(done.stdout)["figures"]
    measured = {figure["name"].partition(":")[0] for figure in figures}
    assert measured == {name.replace("fanout", "fan-out") for name in PATHS}
    assert all(figure["ratio"] > 0 for figure in figures)
    # What a demo keeps is not touched.
    assert not (tmp_path / "data" / "clickhouse").exists()


@pytest.mark.parametrize("wrong", [["nothing"], ["core", "--rounds", "0"], ["core", "--trades", "5"]])
def test_what_cannot_be_measured_is_told(wrong):
    with pytest.raises(CommandError):
        call_command("bench", *wrong)
