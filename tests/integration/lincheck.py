"""Is a history of one object linearizable? Also: do revisions follow real time?

The model is a register that may be absent, with create, compare-and-set, read and delete. Every
value is written by one operation only, so a value also names the state it was compared with.

Happy path: sweep over the invocations and answers in time order and keep all configurations that
are possible: (state, operations invoked and not yet linearized). At an answer each configuration
linearizes open operations in every order that ends with the answered one. No configuration left:
no order explains the history. Operations of unknown outcome stay open for ever and need not
happen. Three facts keep the number of configurations small: of configurations that differ only in
what of unknown outcome is still open, those with a subset of another's are dropped; an unknown
compare-and-set whose expected value is gone can never happen, as no value comes back; and unknown
deletes are all alike, as are unknown creates of values that nobody saw.
"""
import collections
import dataclasses
import math

CONFIGURATIONS_MAX = 20000


@dataclasses.dataclass
class Op:
    """One operation; times of CLOCK_MONOTONIC, before sending and after the answer."""

    kind: str  # read create cas delete
    key: str
    start: float
    end: float = math.inf  # inf: of unknown outcome
    value: str | None = None  # read: what was seen; create, cas: what was written
    expected: str | None = None  # cas
    outcome: str = "unknown"  # ok exists conflict missing unknown
    revision: int = 0  # writes: told in the answer; reads: of the value seen
    client: int = 0
    server: str = ""

    def apply(self, state):
        """(possible here, state after it)."""
        if self.kind == "read":
            return state == self.value, state
        if self.outcome == "exists":
            return state is not None, state
        if self.outcome == "conflict":
            return state is not None and state != self.expected, state
        if self.outcome == "missing":
            return state is None, state
        if self.kind == "create":
            return state is None, self.value
        if self.kind == "cas":
            return state == self.expected, self.value
        return state is not None, None


class Violation(AssertionError):
    """The history has no explanation."""


class Undecided(AssertionError):
    """The search grew beyond its limit."""


def _is_dead(op, state):
    return op.kind == "cas" and op.end == math.inf and state != op.expected


def _split(ops, still_open):
    """What must happen (known outcome) and what may."""
    known = frozenset(i for i in still_open if ops[i].end != math.inf)
    return known, still_open - known


def _alike(op):
    """What operations of unknown outcome have in common that can stand for each other, or None."""
    if op.end != math.inf or op.kind == "cas":
        return None
    return (op.kind, op.value)


def _steps(ops, configuration):
    """(operation, configuration after it) for all that can happen next."""
    state, still_open = configuration
    tried = set()
    for index in sorted(still_open):
        op = ops[index]
        alike = _alike(op)
        if alike is not None:
            if alike in tried:
                continue  # the oldest stands for all
            tried.add(alike)
        possible, after = op.apply(state)
        if possible:
            left = frozenset(i for i in still_open if i != index and not _is_dead(ops[i], after))
            yield index, (after, left)


def _linearize(ops, configuration, target):
    """All configurations after target, from one in which it is open.

    Breadth first, so that of two that differ in unknown operations the larger comes first."""
    found = set()
    known, optional = _split(ops, configuration[1])
    seen = {(configuration[0], known): [optional]}
    queue = collections.deque([configuration])
    while queue:
        for index, following in _steps(ops, queue.popleft()):
            if index == target:
                found.add(following)
                continue
            known, optional = _split(ops, following[1])
            others = seen.setdefault((following[0], known), [])
            if not any(optional <= other for other in others):
                others.append(optional)
                queue.append(following)
    return found


def _without_subsets(ops, configurations):
    groups = {}
    for state, still_open in configurations:
        known, optional = _split(ops, still_open)
        groups.setdefault((state, known), set()).add(optional)
    kept = set()
    for (state, known), optional in groups.items():
        for one in optional:
            if not any(one < other for other in optional):
                kept.add((state, known | one))
    return kept


def _simplified(ops):
    """Without what says nothing: reads of unknown outcome, and which unknown write it was whose
    value nobody ever saw."""
    seen = {op.value for op in ops if op.kind == "read"} | {op.expected for op in ops}
    kept = []
    for op in ops:
        if op.kind == "read" and op.outcome == "unknown":
            continue
        if op.kind in ("create", "cas") and op.end == math.inf and op.value not in seen:
            op = dataclasses.replace(op, value="(never seen)")
        kept.append(op)
    return kept


def check_key(ops, initial=None):
    """Raises Violation unless the operations on one object are linearizable."""
    ops = _simplified(ops)
    events = [(op.start, 0, i) for i, op in enumerate(ops)]
    events += [(op.end, 1, i) for i, op in enumerate(ops) if op.end != math.inf]
    configurations = {(initial, frozenset())}
    for _, is_answer, index in sorted(events):
        following = set()
        for state, still_open in configurations:
            if not is_answer:
                dead = _is_dead(ops[index], state)
                following.add((state, still_open if dead else still_open | {index}))
            elif index in still_open:
                following |= _linearize(ops, (state, still_open), index)
            else:
                following.add((state, still_open))
        if not following:
            raise Violation(_explain(ops, index, configurations))
        configurations = _without_subsets(ops, following) if is_answer else following
        if len(configurations) > CONFIGURATIONS_MAX:
            raise Undecided(f"{ops[index].key}: too many possible orders")


def _explain(ops, index, configurations):
    bad = ops[index]
    near = [op for op in ops if op.start <= bad.end and op.end >= bad.start - 1]
    lines = [f"no order explains {bad}", f"possible states before: {configurations}"]
    lines += [f"  near it: {op}" for op in sorted(near, key=lambda op: op.start)[-40:]]
    return "\n".join(lines)


def check(ops):
    """Raises Violation unless every object's history is linearizable; returns their number."""
    keys = {}
    for op in ops:
        keys.setdefault(op.key, []).append(op)
    for key_ops in keys.values():
        check_key(key_ops)
    return len(keys)


def check_revisions(ops):
    """Across objects: whoever began after an acknowledged write must not see an older revision.

    Writes get a greater one; a value has one revision only."""
    revision_of = {}
    points = []
    for op in ops:
        if op.outcome != "ok" or op.revision == 0:
            continue
        if op.kind != "delete":
            known = revision_of.setdefault((op.key, op.value), op.revision)
            if known != op.revision:
                raise Violation(f"{op} had revision {known} elsewhere")
        if op.kind != "read":
            points.append((op.start, 0, op))
            points.append((op.end, 1, op))
    newest = None
    for _, is_answer, op in sorted(points, key=lambda point: point[:2]):
        if is_answer:
            newest = op if newest is None or op.revision > newest.revision else newest
        elif newest is not None and op.revision <= newest.revision:
            raise Violation(f"{op} began after {newest} was acknowledged")
