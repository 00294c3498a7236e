"""The shape of the project: who imports whom, how long a file is, and that the tree speaks of itself alone."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT: Path = settings.BASE_DIR
IMPURE = {
    "asyncio", "celery", "clickhouse_connect", "confluent_kafka", "django", "httpx2", "logging", "os", "random",
    "requests", "secrets", "socket", "sqlite3", "structlog", "subprocess", "threading", "time", "uuid", "websockets",
}  # fmt: skip
# Folders of one person's machine have no place in what everybody gets.
MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:home|Users|root|work|opt)/\w+")
# compose.yaml names folders inside its images.
ALLOWED_PATHS = re.compile(r"^(static/vendor/|requirements/|compose/compose\.yaml$)")


def tracked(pattern: str = "*") -> list[Path]:
    """The files under version control; every file beside the caches when there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", pattern], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("no git here: what is tracked is not known")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def imports_of(path: Path) -> Iterator[str]:
    """The top names of every module the file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("checker", [("lint-imports", "--no-cache"), ("mypy",)], ids=lambda checker: checker[0])
def test_imports_run_one_way_and_the_core_is_typed(checker: tuple[str, ...]) -> None:
    program, *arguments = checker

    told = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "ingestion" / "pipeline").glob("*.py")), ids=lambda path: path.name)
def test_the_core_knows_no_clock_no_chance_no_network(path: Path) -> None:
    assert not IMPURE & set(imports_of(path))


def test_no_file_is_too_long_to_read() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in tracked("*.py")}

    assert {path.name: length for path, length in lengths.items() if length > 400} == {}


def test_no_tracked_file_names_a_folder_of_somebodys_machine() -> None:
    found = {}
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if ALLOWED_PATHS.match(name):
            continue
        match = MACHINE_PATH.search(path.read_bytes().decode("utf-8", "replace"))
        if match:
            found[name] = match[0]

    assert found == {}


def test_every_contract_of_make_has_its_line() -> None:
    """``make`` alone lists each target with what it does."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    listed = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert {"setup", "demo", "test", "lint", "types", "fmt", "lock", "simulate"} <= set(targets)
    assert all(f"make {target} " in listed.stdout for target in targets)
