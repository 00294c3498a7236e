"""The examples in the documents run as they stand, and their links lead somewhere."""

import re

import pytest
from django.conf import settings

from analytics.tests.samples import TEN, candle, closed, live, segment
from markets.models import Symbol

pytestmark = pytest.mark.django_db

PAGES = [settings.BASE_DIR / "README.md", *sorted((settings.BASE_DIR / "docs").glob("*.md"))]
EXAMPLE = re.compile(r"curl (?:'|)http://127\.0\.0\.1:8000(/[^'\s]*)")
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)\)")
# Answered from the whole deployment, which a test of the API has not.
OF_THE_DEPLOYMENT = ("/health",)

EXAMPLES = sorted(
    {path for page in PAGES for path in EXAMPLE.findall(page.read_text()) if not path.startswith(OF_THE_DEPLOYMENT)}
)


@pytest.mark.parametrize("path", EXAMPLES)
def test_an_example_is_answered(client, stage, path):
    Symbol.objects.get_or_create(symbol="BTCUSDT", defaults={"base": "BTC", "quote": "USDT", "trades_enabled": True})
    stage.tell(segment(0, TEN), live(TEN + 90_000, TEN + 60_000), closed(candle(TEN, (1, 2), 100)))

    answer = client.get(path)

    assert answer.status_code == 200, answer.content


def test_the_documents_have_examples():
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    broken = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]

    assert broken == []
