"""The Celery app. Tasks are wake-ups: everything they must remember is in the database."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "streamloom.settings")

app = Celery("streamloom")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["analytics.sink", "analytics.candles"])
