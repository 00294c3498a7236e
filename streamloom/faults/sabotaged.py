"""``python -m streamloom.faults.sabotaged NAMES manage.py …``: a command in which something is broken on purpose.

Nothing of this can be switched on in the product: it takes this module as the program. ``NAMES``, joined by commas:
``die=MODULE:FUNCTION:WHEN[:NTH]`` ends the process by SIGKILL at a line (``sabotage.Death``); every other name is one
of ``sabotage.PROTECTIONS`` and switches that protection off.
"""

import os
import runpy
import sys


def main(names: str, arguments: list[str]) -> None:
    """Put the sabotage in force, then run what would have run."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "streamloom.settings")
    sys.path.insert(0, os.getcwd())
    import django

    django.setup()
    from streamloom.faults import sabotage

    for name in names.split(","):
        sabotage.install(name)
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
