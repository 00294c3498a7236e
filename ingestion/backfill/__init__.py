"""Brings history from the exchange's public archive into the log, day by day, and leaves the rest to the repair.

Read in this order: ``plan`` (which ids and which files; pure), ``held`` (what the log says is held), ``store`` (the
``Backfill`` rows: asked for, leased, moved on), ``tools`` (what the work is done with), ``shelf`` (the files: fetched
and verified), ``start`` (the first id, or why there is none), ``decide`` (what a backfill does), ``work`` (one slice of
it), ``tasks`` (slices in the Celery worker).

The days come oldest first. Then the gap only shrinks from below, so repair sees that somebody is at it; one place in
one file says how far the backfill is; and each minute follows one whose close is known.
"""
