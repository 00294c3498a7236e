"""The environment is read in one place, and every mistake in it is told at once."""

from pathlib import Path

import pytest

from streamloom.environment import read_environment

SERVICES = {
    "STREAMLOOM_MODE": "services",
    "DATABASE_URL": "postgres://me:secret@db.example/streamloom",
    "KAFKA_BROKERS": "kafka.example:9092",
    "CLICKHOUSE_URL": "http://clickhouse.example:8123",
    "REDIS_URL": "redis://redis.example/0",
    "SECRET_KEY": "key",
}


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any of our variables."""
    for name in ("STREAMLOOM_DATA_DIR", "LOG_LEVEL", "BINANCE_REST_URL", *SERVICES):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def given(environ: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        environ.setenv(name, value)


def test_without_any_variable_it_is_embedded_under_var(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = read_environment(tmp_path)

    assert (found.mode, found.data_dir, found.partitions) == ("embedded", tmp_path / "var" / "binance", 1)
    assert (found.repair_confirm_s, found.sink_max_rows) == ((60.0, 600.0, 3600.0), 20_000)


def test_every_mistake_is_told_at_once_by_its_name(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given(environ, STREAMLOOM_MODE="cloud", SINK_MAX_ROWS="many", REPAIR_CONFIRM_S="60,soon", LOG_FORMAT="xml")

    with pytest.raises(SystemExit) as end:
        read_environment(tmp_path)

    message = str(end.value)
    for name in ("STREAMLOOM_MODE", "SINK_MAX_ROWS", "REPAIR_CONFIRM_S", "LOG_FORMAT"):
        assert f"  {name}: " in message
    assert "Traceback" not in message


def test_how_far_klines_reach_back_is_told_by_interval(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert read_environment(tmp_path).klines_history["1m"] == 1_440
    given(environ, KLINES_HISTORY="1m=60,1d=7")
    assert read_environment(tmp_path).klines_history == {"1m": 60, "1d": 7}


@pytest.mark.parametrize("text", ["3m=5", "1m=-1", "1m", "1m=many", "1d=9999999"])
def test_a_history_that_cannot_be_is_refused(environ: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    given(environ, KLINES_HISTORY=text)

    with pytest.raises(SystemExit, match="  KLINES_HISTORY: "):
        read_environment(tmp_path)


def test_services_need_the_address_of_every_server(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given(environ, STREAMLOOM_MODE="services")

    with pytest.raises(SystemExit) as end:
        read_environment(tmp_path)

    assert all(name in str(end.value) for name in SERVICES if name != "STREAMLOOM_MODE")


def test_services_take_what_is_given(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given(environ, **SERVICES)

    found = read_environment(tmp_path)

    assert (found.partitions, found.kafka_brokers) == (4, "kafka.example:9092")
    assert found.database is not None
    assert found.database["HOST"] == "db.example"


def test_a_secret_may_come_from_a_file_whose_last_line_break_does_not_count(
    environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    given(environ, SECRET_KEY_FILE=str(secret))

    assert read_environment(tmp_path).secret_key == "from-a-file"


def test_addresses_of_the_wrong_kind_are_told_at_once_and_never_shown(
    environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = {
        "DATABASE_URL": "mysql://me:secret@db.example/x",
        "KAFKA_BROKERS": "kafka.example",
        "CLICKHOUSE_URL": "clickhouse.example:secret",
        "REDIS_URL": "http://me:secret@redis.example",
    }
    given(environ, **{**SERVICES, **wrong}, STREAMLOOM_SLOT="-1", KAFKA_PREFIX="not allowed")

    with pytest.raises(SystemExit) as end:
        read_environment(tmp_path)

    message = str(end.value)
    assert all(f"  {name}: " in message for name in (*wrong, "STREAMLOOM_SLOT", "KAFKA_PREFIX"))
    assert "secret" not in message


def test_kafka_is_reached_in_plain_unless_told_otherwise(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert read_environment(tmp_path).kafka_security == {"security.protocol": "PLAINTEXT"}


def test_kafka_security_becomes_librdkafkas_settings(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    password, authority = tmp_path / "password", tmp_path / "ca.pem"
    password.write_text("from-a-file\n")
    authority.write_text("-----BEGIN CERTIFICATE-----\n")
    given(environ, KAFKA_SECURITY_PROTOCOL="SASL_SSL", KAFKA_SASL_USERNAME="processor")
    given(environ, KAFKA_SASL_PASSWORD_FILE=str(password), KAFKA_SSL_CA_FILE=str(authority))

    assert read_environment(tmp_path).kafka_security == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "processor",
        "sasl.password": "from-a-file",
        "ssl.ca.pem": "-----BEGIN CERTIFICATE-----",
    }


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, ["KAFKA_SECURITY_PROTOCOL"]),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, ["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]),
        ({"KAFKA_SASL_PASSWORD": "secret"}, ["KAFKA_SASL_PASSWORD"]),
        ({"KAFKA_SSL_CA": "x"}, ["KAFKA_SSL_CA"]),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY": "x"}, ["KAFKA_SSL_CERTIFICATE"]),
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, ["KAFKA_SASL_MECHANISM"]),
    ],
)
def test_kafka_security_that_contradicts_itself_is_told(
    environ: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], names: list[str]
) -> None:
    given(environ, **variables)

    with pytest.raises(SystemExit) as end:
        read_environment(tmp_path)

    assert all(f"  {name}: " in str(end.value) for name in names)
    assert "secret" not in str(end.value)
