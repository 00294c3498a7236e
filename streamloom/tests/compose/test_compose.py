"""compose/compose.yaml is valid, names only what exists, and runs every role."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from streamloom.supervisor.plan import preparations, roles

FOLDER = Path(settings.BASE_DIR) / "compose"
FILE = FOLDER / "compose.yaml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


def test_it_keeps_to_the_schema_of_compose_files() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]

    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert told.returncode == 0, told.stdout


def test_whoever_is_waited_for_exists_and_can_be_waited_for(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            assert other in services, f"{name} waits for {other}, which does not exist"
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{other} has no healthcheck"
            else:
                assert services[other].get("restart", "no") == "no", f"{other} never completes"


@pytest.mark.parametrize("kind", ["secrets", "networks", "volumes", "configs"])
def test_what_a_service_uses_is_declared_and_what_is_declared_is_used(compose: dict[str, Any], kind: str) -> None:
    used = set()
    for service in compose["services"].values():
        for entry in service.get(kind, ()):
            used.add(entry["source"] if isinstance(entry, dict) else entry.partition(":")[0])

    assert used == set(compose[kind])


def test_every_file_that_is_named_exists_or_is_a_secret_that_is_made(compose: dict[str, Any], tmp_path: Path) -> None:
    shutil.copy(FOLDER / "make-secrets", tmp_path)
    subprocess.run([tmp_path / "make-secrets"], check=True)

    for entry in compose["secrets"].values():
        made = tmp_path / entry["file"]
        assert made.read_text().strip() == made.read_text() != ""
    for entry in compose["configs"].values():
        assert (FOLDER / entry["file"]).exists()
    for service in compose["services"].values():
        if "build" in service:
            assert (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).exists()


def test_secrets_are_random_and_kept_once_made(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "make-secrets", tmp_path)
    subprocess.run([tmp_path / "make-secrets"], check=True)
    first = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    subprocess.run([tmp_path / "make-secrets"], check=True)

    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == first
    assert len({first[name] for name in first if name.endswith("_password")}) == 3
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    assert first["postgres_password"] in first["database_url"]


def test_every_variable_from_a_file_names_a_secret_of_its_service(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if variable.endswith("_FILE"):
                assert Path(value).name in service["secrets"], f"{name}: {variable}"
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), f"{name}: {variable}"


def test_it_runs_every_role_that_make_run_runs(compose: dict[str, Any]) -> None:
    commands = " ".join(str(service.get("command")) for service in compose["services"].values())
    plans = [*preparations(), *roles(port=8000, slots=2, workers=2, metrics=None)]

    for plan in plans:
        words = [word for word in plan.args if word in get_commands()]
        for word in words or ["worker"]:
            assert word in commands, f"{plan.name} is missing"
    slots = [
        service["environment"]["STREAMLOOM_SLOT"] for name, service in compose["services"].items() if "process-" in name
    ]
    assert sorted(slots) == ["0", "1"]


def test_images_are_pinned_and_ports_are_of_the_loopback_interface(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert re.fullmatch(r"[\w./-]+:[\w.-]+", service["image"]), name
        assert not service["image"].endswith(":latest")
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


def test_the_image_gets_all_it_needs_and_no_tests() -> None:
    copied = set(re.findall(r"^COPY (?!--)(\S+)", (FOLDER / "Dockerfile").read_text(), re.MULTILINE))
    ignored = (Path(settings.BASE_DIR) / ".dockerignore").read_text().splitlines()

    assert {f"!{path}" for path in copied} == {line for line in ignored if line.startswith("!")}
    assert all((Path(settings.BASE_DIR) / path).exists() for path in copied)
    assert "**/tests" in ignored
