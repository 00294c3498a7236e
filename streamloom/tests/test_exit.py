"""A process that has done its work ends at once."""

import os
import subprocess
import sys

from django.conf import settings

# What is asked for at exit first is done last: after everything that our apps ask for.
PROGRAM = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 0))
import django
django.setup()
"""


def test_nothing_is_collected_any_more_when_a_process_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "streamloom.settings"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "True\n"
