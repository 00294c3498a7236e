"""What the sink has stored, for readers."""

from analytics.models import SinkPosition


def sink_positions() -> dict[tuple[str, int], int]:
    """The next offset to be stored of each (topic, partition) that was stored from before.

    A topic that was made anew has a row for each of its lives: the newest counts.
    """
    rows = SinkPosition.objects.order_by("pk").values_list("topic", "partition", "next_offset")
    return {(topic, partition): next_offset for topic, partition, next_offset in rows}
