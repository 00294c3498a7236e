"""What the roles say of themselves, for /health and /status, and how far some of them are."""

from django.db import models


class Heartbeat(models.Model):
    """A sign of life of one instance of a role, written every two seconds from a thread beside its loop.

    ``rate``: records a second since the last beat; ``lag``: records that wait, when the role can tell.
    """

    role = models.CharField(max_length=40)
    instance = models.CharField(max_length=80)
    rate = models.FloatField(default=0)
    lag = models.BigIntegerField(null=True)
    last_message_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=20)
    detail = models.CharField(max_length=400, blank=True)
    beat_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("role", "instance"), name="heartbeat_of_instance"),)

    def __str__(self) -> str:
        return f"{self.role} {self.instance}: {self.status}"


class KlineProgress(models.Model):
    """How far one symbol's klines of one interval were fetched.

    Every bucket that opens in ``[first_open, next_open)`` (epoch ms) was asked for or received: where no kline is
    stored there, the exchange has none (a halt, or before its listing). It moves only after the klines are in the
    log, so a kill in between repeats a question and changes nothing.
    """

    symbol = models.CharField(max_length=40)
    interval = models.CharField(max_length=4)
    first_open = models.BigIntegerField()
    next_open = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("symbol", "interval"), name="kline_progress_of_interval"),)
        verbose_name_plural = "kline progress"

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} to {self.next_open}"
