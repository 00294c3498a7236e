"""``manage.py sync_symbols``: what the exchange trades, brought into the admin."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ingestion.binance.rest import BinanceRest, ExchangeError
from markets.services import apply_exchange_info

_SHOWN = 10


class Command(BaseCommand):
    help = (
        "Read exchangeInfo and keep the symbols' base, quote, steps and status. On a new install it also starts to "
        "watch BTCUSDT, ETHUSDT and SOLUSDT; later it never changes what is watched."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            infos = BinanceRest(settings.BINANCE_REST_URL).exchange_info()
        except ExchangeError as error:
            raise CommandError(f"The exchange did not tell its symbols: {error}. Is BINANCE_REST_URL right?") from error
        changes = apply_exchange_info(infos)
        for word, symbols in (("added", changes.added), ("changed", changes.changed), ("gone", changes.gone)):
            shown = ", ".join(symbols[:_SHOWN]) + (" ..." if len(symbols) > _SHOWN else "")
            self.stdout.write(f"{word}: {len(symbols)} {shown}".rstrip())
