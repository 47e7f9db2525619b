"""Are watch streams ordered, unique and gapless, and does history hold every acknowledged write?

The whole history is what a watch from the first revision shows at the end of a test, when every
server shows the same. A stream that was followed meanwhile, over reconnections that resumed where
it stood, must be a prefix of what history has behind its start."""
import dataclasses

from lincheck import Violation


@dataclasses.dataclass(frozen=True)
class Event:
    revision: int
    kind: str  # ADDED MODIFIED DELETED BOOKMARK
    key: str = ""
    value: str | None = None


def check_history(events):
    """Raises Violation unless the events can follow each other; returns the objects left."""
    objects = {}
    last = 0
    for event in events:
        if event.revision <= last:
            raise Violation(f"{event} follows revision {last}")
        last = event.revision
        if (event.key in objects) == (event.kind == "ADDED"):
            raise Violation(f"{event} though the object was {objects.get(event.key)}")
        if event.kind == "DELETED":
            del objects[event.key]
        else:
            objects[event.key] = event.value
    return objects


def check_stream(stream, history, start):
    """Raises Violation unless the stream is what history has behind start, without a gap.

    A BOOKMARK says that everything up to its revision was sent."""
    expected = [event for event in history if event.revision > start]
    position = 0
    for event in stream:
        if event.kind == "BOOKMARK":
            due = expected[position].revision if position < len(expected) else None
            if due is not None and due <= event.revision:
                raise Violation(f"bookmark {event.revision} came before {expected[position]}")
        elif position == len(expected) or event != expected[position]:
            wanted = expected[position] if position < len(expected) else "nothing more"
            raise Violation(f"event {position} of a watch from {start} is {event}, not {wanted}")
        else:
            position += 1
    return position


def check_acknowledged(ops, history):
    """Raises Violation unless every acknowledged write is in history as it was answered."""
    at = {event.revision: event for event in history}
    checked = 0
    for op in ops:
        if op.kind == "read" or op.outcome != "ok" or op.revision == 0:
            continue
        event = at.get(op.revision)
        if event is None or event.key != op.key:
            raise Violation(f"{op} was acknowledged, history has {event}")
        if op.kind == "delete":
            if event.kind != "DELETED":
                raise Violation(f"{op} was acknowledged, history has {event}")
        elif event.value != op.value:
            raise Violation(f"{op} was acknowledged, history has {event}")
        checked += 1
    return checked
