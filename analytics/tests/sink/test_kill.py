import json
import os
import signal
import subprocess
import sys

from django.conf import settings


def run(task, data_dir):
    environment = os.environ | {
        "STREAMLOOM_DATA_DIR": str(data_dir),
        "STREAMLOOM_MODE": "embedded",
        "DJANGO_SETTINGS_MODULE": "streamloom.settings",
    }
    return subprocess.run(
        [sys.executable, "-m", "analytics.tests.sink.doomed", task],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_sigkill_between_insert_and_advance_leaves_every_row_once(tmp_path):
    killed = run("kill", tmp_path)
    finished = run("finish", tmp_path)

    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert finished.returncode == 0, finished.stderr.decode()
    found = json.loads(finished.stdout)
    # Without the kill 100: the rows were there before, and are one each all the same.
    assert found.pop("rows_written") in (100, 200)
    assert found == {"trades_enriched": 100, "candles": 1, "candle_journal": 1, "dead_letters": 2, "dirty": 1}
