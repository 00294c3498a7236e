"""Beat wakes what the schedule names, and stops at once."""

import threading
from typing import Any

from django.conf import settings

from streamloom.celery import app
from streamloom.demo import threads
from streamloom.demo.threads import BeatThread


class Waking:
    """A scheduler that counts its turns; the first one fails."""

    def __init__(self) -> None:
        self.turns = 0
        self.came_twice = threading.Event()

    def tick(self) -> float:
        self.turns += 1
        if self.turns == 1:
            raise OSError("the queue is away")
        self.came_twice.set()
        return 600.0


def test_every_scheduled_task_exists() -> None:
    app.loader.import_default_modules()

    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(app.tasks)


def test_it_goes_on_after_a_failure_and_stops_at_once(monkeypatch: Any) -> None:
    waking = Waking()
    monkeypatch.setattr(threads, "_make_scheduler", lambda: waking)
    monkeypatch.setattr(threads, "_LONGEST_PAUSE_S", 0.01)
    beat = BeatThread()

    beat.start()
    came_twice = waking.came_twice.wait(10)
    beat.stop()
    beat.join(10)

    assert came_twice
    assert not beat.is_alive()


def test_the_schedule_is_kept_in_memory() -> None:
    scheduler = threads._make_scheduler()

    assert set(scheduler.schedule) == set(settings.CELERY_BEAT_SCHEDULE)
    assert type(scheduler).__module__ == "celery.beat"
