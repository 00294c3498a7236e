"""The sink's own truth, kept in the database: how far each partition is stored, and what must be rebuilt.

And what the audits of whole days have found.
"""

from django.db import models


class SinkPosition(models.Model):
    """How far one partition of the log is in ClickHouse, and who is working on it.

    ``next_offset`` is the only truth of the sink: it moves after the rows are stored, in the
    transaction that marks the dirty buckets. A lease names its holder by a token; ``lease_until`` and
    ``retry_at`` are the database's clock. ``topic_id`` changes when the topic is made anew.
    """

    topic_id = models.CharField(max_length=64)
    topic = models.CharField(max_length=200)
    partition = models.PositiveIntegerField()
    next_offset = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_token = models.CharField(max_length=32, blank=True, default="")
    retry_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True, default="")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("topic_id", "partition"), name="sink_position_of_partition"),)

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] at {self.next_offset}"


class Dirty(models.Model):
    """A bucket whose candle must be made again from what is stored.

    ``gen`` is new with every mark: a worker deletes the row only while it is the one it read.
    ``trades_to``: not before the trades below this offset of ``enriched_trades`` are stored (what closed a
    gap is logged together with them, but each topic is stored in its own time). ``claim`` and ``not_before``
    (the database's clock) keep other workers away meanwhile; ``tries`` makes the next wait longer.
    """

    symbol = models.CharField(max_length=40)
    interval = models.CharField(max_length=4)
    open_time = models.BigIntegerField()
    gen = models.BigIntegerField()
    trades_to = models.BigIntegerField(default=0)
    not_before = models.DateTimeField(null=True, blank=True, db_index=True)
    claim = models.CharField(max_length=32, blank=True, default="", db_index=True)
    tries = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("interval", "symbol", "open_time"), name="dirty_bucket"),)
        verbose_name_plural = "dirty buckets"

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} {self.open_time}"


class AuditRun(models.Model):
    """The newest audit of one symbol and UTC day.

    ``started_at`` and ``finished_at`` are the database's clock: an audit that was killed is made again.
    ``found``: differences by check; ``details``: the first of them in words. ``candles_seq``, ``coverage_seq``: the
    newest records about the day that were stored before it was looked at; with newer ones it is due again.
    """

    class State(models.TextChoices):
        RUNNING = "running"
        AGREES = "agrees"
        DIFFERS = "differs"
        FAILED = "failed"

    symbol = models.CharField(max_length=40)
    day = models.DateField()
    state = models.CharField(max_length=20, choices=State.choices, default=State.RUNNING)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    trades = models.BigIntegerField(default=0)
    candles = models.PositiveIntegerField(default=0)
    certified = models.PositiveIntegerField(default=0)
    disputed = models.PositiveIntegerField(default=0)
    missing = models.BigIntegerField(default=0)
    holes = models.BigIntegerField(default=0)
    waiting = models.PositiveIntegerField(default=0)
    differences = models.PositiveIntegerField(default=0)
    digest = models.CharField(max_length=64, blank=True, default="")
    found = models.JSONField(default=dict, blank=True)
    details = models.TextField(blank=True, default="")
    candles_seq = models.BigIntegerField(default=0, db_default=0, editable=False)
    coverage_seq = models.BigIntegerField(default=0, db_default=0, editable=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("symbol", "day"), name="audit_of_day"),)
        ordering = ("-day", "symbol")
        verbose_name = "audit"

    def __str__(self) -> str:
        return f"{self.symbol} {self.day}: {self.state}"
