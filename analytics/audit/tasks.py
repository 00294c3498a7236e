"""The Celery task of the nightly audit. Beat wakes it; what is due is in AuditRun and in the symbols' clocks."""

import structlog
from celery import shared_task

from analytics.audit.nightly import audit_due
from ingestion.log import open_log

_log = structlog.get_logger(__name__)

_BUDGET_S = 60.0


@shared_task(name="analytics.audit", acks_late=True, ignore_result=True)
def audit() -> None:
    """Audit whole days that were not audited yet."""
    try:
        more = audit_due(open_log(), budget_s=_BUDGET_S)
    except Exception as error:  # noqa: BLE001 - the top of the task: the next wake-up tries again
        _log.error(
            "the audit could not be made, will be tried again",
            error=f"{type(error).__name__}: {error}",
            hint="are ClickHouse, the log and the database up?",
        )
        return
    if more:
        audit.apply_async(retry=False, expires=int(_BUDGET_S * 10))
