"""``python -m streamloom.services up|env|down``: the servers of one folder, from a shell."""

import argparse
import sys
from pathlib import Path

from streamloom.services.native import NAMES, NativeServices, ServiceFailed, exports
from streamloom.services.server import BASE_DIR


def main() -> int:
    """The exit status: 1 when something is missing or did not start."""
    parser = argparse.ArgumentParser(description="Real servers on this machine, for development and tests.")
    parser.add_argument("act", choices=("up", "env", "down"))
    parser.add_argument("names", nargs="*", metavar="SERVICE", help=f"of {', '.join(NAMES)}; all when none is named")
    parser.add_argument("--folder", type=Path, default=BASE_DIR / "var" / "services")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no such service: {', '.join(sorted(unknown))}")
    services = NativeServices(options.folder)
    return {"up": _up, "env": _env, "down": _down}[options.act](services, options.names)


def _up(services: NativeServices, names: list[str]) -> int:
    missing = services.missing(*names)
    for problem in missing:
        _tell(f"missing  {problem}")
    if missing:
        return 1
    for name in names or NAMES:
        try:
            services.start(name)
        except ServiceFailed as problem:
            _tell(f"failed   {problem}")
            return 1
        _tell(f"started  {name}: port {services.port(name)}, pid {services.pid(name)}, log {services.log(name)}")
    _tell('\nThe environment to use them (eval "$(make -s services-env)"; make services-down ends them):')
    return _env(services, names)


def _env(services: NativeServices, names: list[str]) -> int:
    _tell(exports(services.environment()))
    return 0


def _down(services: NativeServices, names: list[str]) -> int:
    ended = services.stop(*names)
    _tell(f"ended    {', '.join(ended)}" if ended else "nothing was running")
    return 0


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
