#!/usr/bin/env python3
"""The checkers must refuse histories that are wrong and take those that are odd but right."""
import math
import random
import unittest

import watchcheck
from lincheck import Op, Violation, check, check_key, check_revisions
from watchcheck import Event


def op(kind, start, end, value=None, outcome="ok", expected=None, revision=0):
    return Op(kind, "k", start, end, value, expected, outcome, revision)


def lost(kind, start, value=None, expected=None):
    return op(kind, start, math.inf, value, "unknown", expected)


class Register(unittest.TestCase):
    def right(self, *ops):
        check_key(list(ops))

    def wrong(self, *ops):
        with self.assertRaises(Violation):
            check_key(list(ops))

    def test_sequence(self):
        self.right(op("create", 0, 1, "a"), op("read", 2, 3, "a"), op("delete", 4, 5),
                   op("read", 6, 7))

    def test_stale_read(self):
        self.wrong(op("create", 0, 1, "a"), op("cas", 2, 3, "b", expected="a"),
                   op("read", 4, 5, "a"))

    def test_lost_write(self):
        self.wrong(op("create", 0, 1, "a"), op("read", 2, 3, None))

    def test_value_from_nowhere(self):
        self.wrong(op("create", 0, 1, "a"), op("read", 2, 3, "z"))

    def test_two_winners_of_one_compare(self):
        self.wrong(
            op("create", 0, 1, "a"),
            op("cas", 2, 5, "b", expected="a"),
            op("cas", 3, 6, "c", expected="a"),
        )

    def test_reads_during_a_write_may_see_either(self):
        write = op("cas", 2, 6, "b", expected="a")
        self.right(op("create", 0, 1, "a"), write, op("read", 3, 4, "a"), op("read", 4.5, 5, "b"))
        self.wrong(op("create", 0, 1, "a"), write, op("read", 3, 4, "b"), op("read", 4.5, 5, "a"))

    def test_unknown_write_may_happen_late_or_never(self):
        first = op("create", 0, 1, "a")
        self.right(first, lost("cas", 2, "b", "a"), op("read", 3, 4, "a"), op("read", 5, 6, "b"))
        self.right(first, lost("cas", 2, "b", "a"), op("read", 3, 4, "a"))

    def test_unknown_write_happens_once(self):
        self.wrong(
            op("create", 0, 1, "a"),
            lost("delete", 2),
            op("read", 3, 4, None),
            op("create", 5, 6, "b"),
            op("read", 7, 8, None),
        )

    def test_unknown_compare_cannot_happen_after_its_value_is_gone(self):
        self.wrong(
            op("create", 0, 1, "a"),
            op("cas", 2, 3, "b", expected="a"),
            lost("cas", 4, "c", "a"),
            op("read", 5, 6, "c"),
        )

    def test_refusals_are_facts(self):
        self.wrong(op("create", 0, 1, "a", "exists"))
        self.wrong(op("create", 0, 1, "a"), op("delete", 2, 3, outcome="missing"))
        self.wrong(op("create", 0, 1, "a"), op("cas", 2, 3, "b", "conflict", "a"))
        self.right(op("create", 0, 1, "a"), lost("delete", 2), op("create", 3, 4, "b"))

    def test_many_unknown_operations_stay_decidable(self):
        ops = [op("create", 0, 1, "v0")]
        for i in range(60):
            ops.append(lost("delete", 2 + i))
            ops.append(lost("create", 2 + i, f"lost{i}"))
            ops.append(op("read", 2.2 + i, 2.4 + i, "v0"))
        self.right(*ops)
        self.wrong(*ops, op("read", 100, 101, "lost70"))


def simulated(seed, stale_chance):
    """A random history of a correct register; with stale_chance some reads lie."""
    rng = random.Random(seed)
    state, known_at, older, ops, revision = None, 0.0, [], [], 0
    for i in range(300):
        at = i * 1.0
        kind = rng.choice(["read", "read", "create", "cas", "delete"])
        spread = dict(start=at - rng.random() * 2, end=at + rng.random() * 2)
        if kind == "read":
            seen = rng.choice(older[:-4]) if older[4:] and rng.random() < stale_chance else state
            ops.append(op("read", value=seen, **spread))
            continue
        written = Op(kind, "k", spread["start"], spread["end"], f"v{i}", state, "ok")
        if kind == "cas":
            if state is None:
                continue
            # Whoever compares has been told of the value before.
            if known_at >= at:
                continue
            written.start = max(written.start, known_at + 0.001)
        possible, after = written.apply(state)
        if not possible:
            written.outcome = "exists" if kind == "create" else "missing"
        else:
            revision += 1
            written.revision = revision
            older.append(state)
            state, known_at = after, written.end
            if rng.random() < 0.1:
                written.outcome, written.end, written.revision = "unknown", math.inf, 0
                known_at = math.inf
        ops.append(written)
    return ops


class Simulated(unittest.TestCase):
    def test_correct_registers_pass(self):
        for seed in range(40):
            check(simulated(seed, 0))

    def test_stale_reads_are_found(self):
        found = 0
        for seed in range(40):
            try:
                check(simulated(seed, 0.5))
            except Violation:
                found += 1
        self.assertGreaterEqual(found, 36)


class Revisions(unittest.TestCase):
    def test_order_across_objects(self):
        first = Op("create", "a", 0, 1, "1", None, "ok", 7)
        check_revisions([first, Op("create", "b", 2, 3, "2", None, "ok", 8)])
        check_revisions([first, Op("create", "b", 0.5, 3, "2", None, "ok", 6)])
        with self.assertRaises(Violation):
            check_revisions([first, Op("create", "b", 2, 3, "2", None, "ok", 6)])

    def test_one_value_one_revision(self):
        first = Op("create", "a", 0, 1, "1", None, "ok", 7)
        with self.assertRaises(Violation):
            check_revisions([first, Op("read", "a", 2, 3, "1", None, "ok", 8)])


class Watches(unittest.TestCase):
    history = [
        Event(1, "ADDED", "a", "1"),
        Event(2, "MODIFIED", "a", "2"),
        Event(5, "DELETED", "a", "2"),
        Event(6, "ADDED", "a", "3"),
    ]
    # fmt: off

    def test_whole_and_prefix(self):
        watchcheck.check_history(self.history)
        watchcheck.check_stream(self.history, self.history, 0)
        watchcheck.check_stream(self.history[:2], self.history, 0)
        watchcheck.check_stream(self.history[1:], self.history, 1)

    def test_gap_repeat_disorder_and_invention(self):
        one, two, three, four = self.history
        for stream in (
            [one, three], [one, two, two], [two, one],
            [one, two, three, Event(7, "ADDED", "b", "x")],
            [one, two, three, Event(6, "ADDED", "a", "9")], [two, three, four],
        ):
            with self.assertRaises(Violation):
                watchcheck.check_stream(stream, self.history, 0)

    def test_bookmark_beyond_what_was_sent(self):
        one, two = self.history[:2]
        with self.assertRaises(Violation):
            watchcheck.check_stream([one, Event(2, "BOOKMARK"), two], self.history, 0)
        watchcheck.check_stream([one, two, Event(4, "BOOKMARK")], self.history, 0)
        with self.assertRaises(Violation):
            watchcheck.check_stream([one, Event(4, "BOOKMARK")], self.history, 0)

    def test_history_must_make_sense(self):
        for events in (
            [Event(1, "MODIFIED", "a", "1")],
            [Event(1, "ADDED", "a", "1"), Event(2, "ADDED", "a", "2")],
            [Event(2, "ADDED", "a", "1"), Event(1, "DELETED", "a", "1")],
        ):
            with self.assertRaises(Violation):
                watchcheck.check_history(events)
    # fmt: on

    def test_acknowledged_write_missing_from_history(self):
        written = Op("create", "a", 0, 1, "1", None, "ok", 1)
        watchcheck.check_acknowledged([written], self.history)
        for bad in (
            Op("create", "a", 0, 1, "1", None, "ok", 3),
            Op("create", "a", 0, 1, "9", None, "ok", 1),
            Op("create", "b", 0, 1, "1", None, "ok", 1),
        ):
            with self.assertRaises(Violation):
                watchcheck.check_acknowledged([bad], self.history)


if __name__ == "__main__":
    unittest.main()
