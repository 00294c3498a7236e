import re

import pytest
import yaml
from django.test import Client as Browser
from drf_spectacular.validation import validate_schema

from analytics.api.candles import CandlesQuery

pytestmark = pytest.mark.django_db


@pytest.fixture
def schema(capsys):
    made = yaml.safe_load(Browser().get("/schema").content)
    assert "Warning" not in capsys.readouterr().err
    return made


def test_the_schema_is_valid_and_holds_every_endpoint(schema):
    validate_schema(schema)

    assert set(schema["paths"]) >= {
        "/symbols",
        "/candles",
        "/candles/revisions",
        "/trades",
        "/coverage",
        "/indicators",
        "/stats/volume",
        "/stats/spikes",
        "/stats/volatility",
    }


def test_the_schema_names_the_parameters_that_the_query_reads(schema):
    parameters = {p["name"]: p for p in schema["paths"]["/candles"]["get"]["parameters"]}

    assert set(parameters) == set(CandlesQuery().fields)
    assert {name for name, p in parameters.items() if p.get("required")} == {"symbol", "interval"}
    assert parameters["limit"]["schema"] == {
        "type": "integer",
        "format": "int64",
        "minimum": 1,
        "maximum": 5000,
        "default": 500,
    }


def test_the_docs_need_nothing_from_outside():
    page = Browser().get("/docs").content.decode()

    assert "swagger-ui" in page
    assert re.findall(r"(?:src|href)=[\"'](?:https?:)?//", page) == []
