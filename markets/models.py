"""What is traded, and what of it is watched."""

from django.db import models


class Symbol(models.Model):
    """A pair of the exchange, kept from ``exchangeInfo``. What of it is watched is the operator's choice."""

    symbol = models.CharField(max_length=40, unique=True)
    base = models.CharField(max_length=40)
    quote = models.CharField(max_length=40)
    status = models.CharField(max_length=30, default="TRADING")
    tick_size = models.DecimalField(max_digits=28, decimal_places=8, default=0)
    step_size = models.DecimalField(max_digits=28, decimal_places=8, default=0)
    trades_enabled = models.BooleanField("trades", default=False, db_index=True)
    klines_enabled = models.BooleanField("klines", default=False, db_index=True)
    backfill_from = models.DateTimeField(
        null=True, blank=True, help_text="Trades from this time (UTC) on are fetched once the symbol is watched."
    )

    class Meta:
        ordering = ("symbol",)

    def __str__(self) -> str:
        return self.symbol
