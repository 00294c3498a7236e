"""The clock of leases, claims and waits: the database's, which all processes share.

A worker whose own clock is an hour ahead and that is killed would hold its work for an hour.
"""

import datetime as dt

from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now


def now() -> Now:
    """The time at which the database does the statement that this is a part of."""
    return Now()


def later(delay: dt.timedelta) -> CombinedExpression:
    """So much after that."""
    return Now() + delay
