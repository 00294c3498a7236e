import pytest
from django.test import Client as Browser

from analytics.clickhouse.client import client
from analytics.tests.samples import BTC

pytestmark = pytest.mark.django_db

CANDLES = {"symbol": BTC, "interval": "1m"}


@pytest.mark.parametrize(
    ("path", "query", "code", "param"),
    [
        ("/candles", {"interval": "1m"}, "missing_parameter", "symbol"),
        ("/candles", {"symbol": BTC}, "missing_parameter", "interval"),
        ("/candles", CANDLES | {"interval": "1x"}, "bad_parameter", "interval"),
        ("/candles", CANDLES | {"interval": "1H"}, "bad_parameter", "interval"),
        ("/candles", CANDLES | {"limit": 0}, "bad_parameter", "limit"),
        ("/candles", CANDLES | {"limit": 5001}, "bad_parameter", "limit"),
        ("/candles", CANDLES | {"limit": "1e2"}, "bad_parameter", "limit"),
        ("/candles", CANDLES | {"limit": ""}, "bad_parameter", "limit"),
        ("/candles", CANDLES | {"from": "yesterday"}, "bad_parameter", "from"),
        ("/candles", CANDLES | {"from": "-5"}, "bad_parameter", "from"),
        ("/candles", CANDLES | {"to": "1700000000000000"}, "bad_parameter", "to"),
        ("/candles", CANDLES | {"from": "2", "to": "1"}, "bad_parameter", "from"),
        ("/candles", CANDLES | {"state": "open"}, "bad_parameter", "state"),
        ("/candles", CANDLES | {"fill": "zero"}, "bad_parameter", "fill"),
        ("/candles", CANDLES | {"source": "ftx"}, "bad_parameter", "source"),
        ("/candles", CANDLES | {"cursor": "nonsense"}, "bad_cursor", "cursor"),
        ("/candles", CANDLES | {"limits": 5}, "unknown_parameter", "limits"),
        ("/candles", CANDLES | {"Symbol": BTC}, "unknown_parameter", "Symbol"),
        ("/candles", CANDLES | {"limit": [1, 2]}, "bad_parameter", "limit"),
        ("/candles", CANDLES | {"format": "xml"}, "bad_parameter", "format"),
        ("/trades", {"symbol": BTC, "from_id": "-1"}, "bad_parameter", "from_id"),
        ("/trades", {}, "missing_parameter", "symbol"),
        ("/coverage", {"symbol": BTC, "include": "all"}, "bad_parameter", "include"),
        ("/symbols", {"enabled": "yes"}, "bad_parameter", "enabled"),
        ("/stats/volume", {"symbol": BTC}, "missing_parameter", "window"),
        ("/stats/volume", {"symbol": BTC, "window": "5s"}, "bad_parameter", "window"),
        ("/stats/volume", {"symbol": BTC, "window": "32d"}, "bad_parameter", "window"),
        ("/stats/volatility", {"symbol": BTC, "window": "0h"}, "bad_parameter", "window"),
        ("/stats/spikes", {"symbol": BTC, "threshold": "0"}, "bad_parameter", "threshold"),
        ("/stats/spikes", {"symbol": BTC, "threshold": "10.1"}, "bad_parameter", "threshold"),
        ("/stats/spikes", {"symbol": BTC, "threshold": "nan"}, "bad_parameter", "threshold"),
        ("/stats/spikes", {"symbol": BTC, "interval": "1s", "window": "1d"}, "range_too_large", "window"),
    ],
)
def test_a_bad_query_names_the_parameter_and_what_is_allowed(get, path, query, code, param):
    answer = Browser().get(path, query)

    body = answer.json()
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (body["status"], body["code"], body["param"]) == (400, code, param)
    assert body["allowed"]
    assert {"type", "title", "detail"} <= set(body)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/candles", {"interval": "1m"}),
        ("/trades", {}),
        ("/coverage", {}),
        ("/stats/volume", {"window": "1h"}),
        ("/stats/volatility", {"window": "1h"}),
        ("/stats/spikes", {}),
    ],
)
def test_an_unknown_symbol_is_not_found(get, path, query):
    answer = get(path, symbol="NOPE", **query)

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_symbol")
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_only_reading_is_allowed(get, method):
    answer = getattr(Browser(), method)("/candles")

    assert answer.status_code == 405
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Allow"] == "GET, HEAD"


def test_head_has_the_headers_and_no_body(get):
    answer = Browser().head("/candles", CANDLES)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["/candles/", "/stats/volume/"])
def test_a_trailing_slash_is_moved_permanently_with_its_query(get, path):
    answer = Browser().get(f"{path}?symbol=BTCUSDT&from=2019-06-01")

    assert answer.status_code == 308
    assert answer.headers["Location"] == f"{path[:-1]}?symbol=BTCUSDT&from=2019-06-01"


def test_an_unknown_path_is_a_problem_too(get):
    answer = Browser().get("/candels")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_store_that_is_away_is_told_with_when_to_ask_again(get, stage):
    client().command("RENAME TABLE candles TO candles_away")
    try:
        answer = get("/candles", **CANDLES)
    finally:
        client().command("RENAME TABLE candles_away TO candles")

    assert (answer.status_code, answer.json()["code"]) == (503, "backend_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "candles_away" not in answer.content.decode()
    assert "SELECT" not in answer.content.decode()


def test_a_browser_sees_a_page_and_a_program_json(get):
    page = get("/candles", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, **CANDLES)
    program = get("/candles", headers={"Accept": "*/*"}, **CANDLES)
    odd = get("/candles", headers={"Accept": "text/csv"}, **CANDLES)
    forced = get("/candles", headers={"Accept": "text/html"}, format="json", **CANDLES)
    asked = get("/candles", format="api", **CANDLES)
    error = get("/candles", headers={"Accept": "text/html"})

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "&quot;candles&quot;" in page.content.decode()
    assert {a.headers["Content-Type"] for a in (program, odd, forced)} == {"application/json"}
    assert asked.headers["Content-Type"].startswith("text/html")
    assert error.status_code == 400
    assert error.headers["Content-Type"].startswith("text/html")
