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


class DisputedCandle(models.Model):
    """A candle of 15m, 1h or 1d that differs from the exchange's kline, which is asked for again because of it.

    Written by the workers that compare them, and deleted when they agree or the difference is explained.
    ``since``: when it was found, by the machine's clock.
    """

    symbol = models.CharField(max_length=40)
    interval = models.CharField(max_length=4)
    open_time = models.BigIntegerField()
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("symbol", "interval", "open_time"), name="disputed_candle_of_bucket"),
        )

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} {self.open_time}"


class Backfill(models.Model):
    """A wish for history of one symbol, and how far it has come: it is read from the exchange's public archive.

    ``from_time``/``to_time``: as asked for; null: up to what is held. ``plan`` is decided once, by the first slice of
    work that can (``backfill.plan.Plan``); ``place`` is where the next slice goes on: it moves only after the rows are
    in the log, so a kill repeats some, which changes nothing. ``done_steps`` of ``total_steps`` files are dealt with,
    and ``part`` (0..1) of the next one. ``busy_s``: seconds of work so far. Leases are the database's clock.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    symbol = models.CharField(max_length=40)
    from_time = models.DateTimeField("from")
    to_time = models.DateTimeField("to", null=True, blank=True)
    trades = models.BooleanField(default=True)
    klines = models.BooleanField(default=True)
    seconds = models.BooleanField("klines of 1s", default=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED, db_index=True)
    note = models.CharField(max_length=400, blank=True, default="")
    error = models.TextField(blank=True, default="")
    plan = models.JSONField(default=dict, editable=False)
    place = models.JSONField(default=dict, editable=False)
    total_steps = models.PositiveIntegerField(default=0)
    done_steps = models.PositiveIntegerField(default=0)
    part = models.FloatField(default=0)
    trades_sent = models.BigIntegerField(default=0)
    klines_sent = models.BigIntegerField(default=0)
    bad_rows = models.PositiveIntegerField(default=0)
    absent = models.JSONField(default=list, editable=False)
    absent_count = models.PositiveIntegerField(default=0)
    bad_files = models.PositiveIntegerField(default=0)
    busy_s = models.FloatField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.CharField(max_length=32, blank=True, default="", editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    retry_at = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return f"{self.symbol} from {self.from_time:%Y-%m-%d %H:%M}"

    @property
    def is_over(self) -> bool:
        """True when nothing more will be done unless somebody asks for it."""
        return self.state in (self.State.DONE, self.State.FAILED, self.State.CANCELLED)

    @property
    def progress(self) -> float:
        """How much is done, 0..1."""
        if self.state == self.State.DONE:
            return 1.0
        return min(1.0, (self.done_steps + self.part) / self.total_steps) if self.total_steps else 0.0

    @property
    def rate(self) -> float:
        """Rows a second of work."""
        return (self.trades_sent + self.klines_sent) / self.busy_s if self.busy_s else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds of work that are left if it goes on like this; None while nobody can tell."""
        if self.is_over or not 0.0 < self.progress < 1.0:
            return None
        return self.busy_s * (1 - self.progress) / self.progress


class ArchiveUse(models.Model):
    """A file of the archive whose rows were used, with the checksum that it had then.

    The exchange replaces files: ``replaced`` is the checksum that a later backfill found before this one.
    """

    name = models.CharField(max_length=120, unique=True)
    sha256 = models.CharField(max_length=64)
    replaced = models.CharField(max_length=64, blank=True, default="")
    rows = models.BigIntegerField(default=0)
    used_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
