#!/usr/bin/env python3
"""The structural rules of the house: sizes, include direction, cycles, banned calls, globals, and
that documents point at what is there.

Usage: structure.py [ROOT]. Prints file:line: rule: text per finding; the exit code says if there
was one. There is no list of exceptions, on purpose.
"""
import os
import re
import sys

import c_source

LINE_MAX = {".c": 800, ".h": 250, ".py": 800, ".sh": 800}
COLUMN_MAX = 100
FUNCTION_LINE_MAX = 70
PARAMETER_MAX = 6
NESTING_MAX = 4
COMPLEXITY_MAX = 15

HEADER_WORDS = ("ownership", "thread", "errors")
SKIPPED_DIRS = frozenset(["build", "fixtures"])
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)
BANNED = frozenset(
    "strcpy strcat strncpy strncat sprintf vsprintf strtok strtok_r atoi atol atoll gets alloca "
    "system popen".split()
)
ALLOCATION = frozenset("malloc calloc realloc free strdup strndup asprintf vasprintf".split())
CLOCK = frozenset(
    "time gettimeofday clock_gettime uv_hrtime rand random srand srandom getrandom".split()
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)[^)]*\)")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


class Tree:
    """The sources under a root and what was found in them."""

    def __init__(self, root):
        self.root = root
        self.findings = []
        self.layers = read_layers(os.path.join(root, "tests/lint/layers.txt"))
        self.includes = {}

    def report(self, path, line, rule, text):
        self.findings.append(f"{path}:{line}: {rule}: {text}")


def read_layers(path):
    layers = {}
    with open(path, encoding="utf-8") as handle:
        for line in handle:
            line = line.split("#")[0].strip()
            if line:
                folder, allowed = line.split(":")
                layers[folder] = allowed.split()
    return layers


def sources(root):
    for folder, dirs, files in os.walk(root):
        dirs[:] = sorted(d for d in dirs if d not in SKIPPED_DIRS and not d.startswith("."))
        for name in sorted(files):
            if os.path.splitext(name)[1] in LINE_MAX:
                yield os.path.relpath(os.path.join(folder, name), root)


def folder_of(tree, path):
    """The layer a file belongs to, None when no layer names it."""
    folder = os.path.dirname(path)
    while folder:
        if folder in tree.layers:
            return folder
        folder = os.path.dirname(folder)
    return None


def check_lines(tree, path, text):
    lines = text.split("\n")
    limit = LINE_MAX[os.path.splitext(path)[1]]
    if len(lines) - 1 > limit:
        tree.report(path, limit + 1, "file-size", f"{len(lines) - 1} lines, at most {limit}")
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMN_MAX:
            tree.report(path, number, "columns", f"{len(line)} columns, at most {COLUMN_MAX}")
        if path.endswith((".c", ".h")) and UNFINISHED.search(line):
            tree.report(path, number, "unfinished", "finish it or leave it out")


def check_includes(tree, path, text):
    own = folder_of(tree, path)
    names = []
    for match in INCLUDE.finditer(text):
        name = match.group(1)
        names.append(name)
        line = text.count("\n", 0, match.start()) + 1
        target = folder_of(tree, name)
        if "/" not in name:
            tree.report(path, line, "include-root", f'"{name}" is not written from the root')
        elif target is None:
            tree.report(path, line, "include-direction", f'"{name}" is in no known layer')
        elif own is None:
            tree.report(path, line, "include-direction", f"{path} is in no known layer")
        elif target != own and target not in tree.layers[own] and "*" not in tree.layers[own]:
            tree.report(path, line, "include-direction", f"{own} may not include {target}")
    tree.includes[path] = names


def check_cycles(tree):
    """Depth first over the include graph; a file met again on the way down closes a cycle."""
    done = set()

    def walk(path, trail):
        if path in trail:
            cycle = trail[trail.index(path) :] + [path]
            tree.report(path, 1, "include-cycle", " -> ".join(cycle))
            return
        if path in done:
            return
        for name in tree.includes.get(path, []):
            walk(name, trail + [path])
        done.add(path)

    for path in sorted(tree.includes):
        walk(path, [])


def check_calls(tree, path, tokens):
    in_base = path.startswith("base/")
    in_tests = path.startswith("tests/")
    for before, token, after in zip(tokens, tokens[1:], tokens[2:]):
        if after.text != "(" or before.text in (".", "->"):
            continue
        if token.text in BANNED:
            tree.report(path, token.line, "banned-call", token.text)
        elif token.text in ALLOCATION and not in_base:
            tree.report(path, token.line, "banned-call", f"{token.text}: use base/mem.h")
        elif token.text in CLOCK and not in_base and not in_tests:
            tree.report(path, token.line, "banned-call", f"{token.text}: use base/clock.h, rng.h")


def callbacks_of(tokens):
    """Names that are passed on rather than called: a library may dictate their parameters."""
    return {t.text for t, after in zip(tokens, tokens[1:]) if after.text in (",", ")", ";", "}")}


def check_pointers(tree, path, tokens):
    """Function pointers are our own interfaces: their parameters count."""
    for index in range(len(tokens) - 4):
        if [t.text for t in tokens[index : index + 2]] != ["(", "*"]:
            continue
        if tokens[index + 3].text != ")" or tokens[index + 4].text != "(":
            continue
        end = c_source.closing(tokens, index + 4, "()")
        count = c_source.parameters_of(tokens, index + 4, end)
        if count > PARAMETER_MAX:
            text = f"{tokens[index + 2].text} has {count} parameters, at most {PARAMETER_MAX}"
            tree.report(path, tokens[index].line, "parameters", text)


def check_functions(tree, path, functions, callbacks):
    for function in functions:
        own = 0 if function.name in callbacks else function.parameter_count
        limits = (
            ("function-size", function.line_count, FUNCTION_LINE_MAX, "lines"),
            ("parameters", own, PARAMETER_MAX, "parameters"),
            ("nesting", function.nesting, NESTING_MAX, "levels"),
            ("complexity", function.complexity, COMPLEXITY_MAX, "ways through"),
        )
        for rule, value, limit, unit in limits:
            if value > limit:
                text = f"{function.name} has {value} {unit}, at most {limit}"
                tree.report(path, function.line, rule, text)
        for label, line in function.gotos:
            if function.labels.get(label, line) < line:
                tree.report(path, line, "goto-back", f"{function.name} jumps back to {label}")


def check_globals(tree, path, outside):
    """Variables at file scope must be const; base/ has the log's level, tests are free."""
    if path.startswith(("base/", "tests/")):
        return
    statement = []
    for token in outside:
        if token.text != ";":
            statement.append(token)
            continue
        words = [t.text for t in statement]
        head = words[: words.index("=")] if "=" in words else words
        is_data = head and "(" not in head and ("=" in words or head[0] == "static")
        if is_data and head[0] not in ("typedef", "extern") and "const" not in head:
            if "sig_atomic_t" not in head and "enum" != head[0]:
                tree.report(path, statement[0].line, "mutable-global", " ".join(head[-2:]))
        statement = []


def check_opening(tree, path, text):
    if not path.endswith(".h"):
        return
    if not text.startswith("/* "):
        tree.report(path, 1, "header-comment", "a header opens with its purpose")
        return
    opening = text[: text.find("*/")].lower()
    missing = [word for word in HEADER_WORDS if not re.search(rf"\b{word}\b", opening)]
    if missing and not path.startswith("tests/"):
        tree.report(path, 1, "header-comment", f"a header says its {', '.join(missing)}")


def check_members(tree, path, text, tokens):
    if path.startswith("tests/"):
        return
    covered, above = c_source.comments_of(text)
    for name, lines in c_source.members_of(tokens):
        if lines[0] - 1 not in above and not covered.intersection(lines):
            tree.report(path, lines[0], "member-comment", f"say what {name} is, in a comment")


def check_c(tree, path, text):
    tokens = c_source.tokens_of(text)
    functions, outside = c_source.functions_of(tokens)
    check_opening(tree, path, text)
    check_includes(tree, path, text)
    check_calls(tree, path, tokens)
    check_pointers(tree, path, tokens)
    check_functions(tree, path, functions, callbacks_of(tokens))
    check_globals(tree, path, outside)
    check_members(tree, path, text, tokens)


def check_tree(root):
    """Returns the findings of the tree under root."""
    tree = Tree(root)
    for path in sources(root):
        with open(os.path.join(root, path), encoding="utf-8") as handle:
            text = handle.read()
        check_lines(tree, path, text)
        if path.endswith((".c", ".h")):
            check_c(tree, path, text)
    check_cycles(tree)
    check_documents(tree)
    return tree.findings


def check_documents(tree):
    """What a document points at inside the tree must be there."""
    for folder, dirs, files in os.walk(tree.root):
        dirs[:] = sorted(d for d in dirs if d not in SKIPPED_DIRS and not d.startswith("."))
        for name in sorted(f for f in files if f.endswith(".md")):
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as handle:
                for number, line in enumerate(handle, 1):
                    for target in LINK.findall(line):
                        if "://" in target or os.path.exists(os.path.join(folder, target)):
                            continue
                        own = os.path.relpath(path, tree.root)
                        tree.report(own, number, "dead-link", f"{target} is not there")


def main():
    findings = check_tree(sys.argv[1] if len(sys.argv) > 1 else ".")
    for finding in findings:
        print(finding)
    print(f"structure: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
