"""What the roles say of themselves, for /health and /status."""

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
