#!/usr/bin/env python3
"""Runs clang-tidy over the given sources, in parallel, remembering what was clean.

A file is skipped when nothing it depends on has changed since it was last found clean: the key of
the memory is a hash of the tool's version, its configuration, the flags, the file and every header
of ours it includes, directly or not. Usage: tidy.py TOOL BUILD_DIR CACHE_DIR FILE...
"""
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import time

INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)
# gcc's warning flags are the compiler's business; clang-tidy needs to know where headers are.
KEPT_FLAG = re.compile(r"-[ID].+|-std=.+")


def flags_of(build_dir):
    """Maps each source (relative path) to the flags clang-tidy needs."""
    flags = {}
    with open(os.path.join(build_dir, "compile_commands.json"), encoding="utf-8") as handle:
        commands = json.load(handle)
    for entry in commands:
        words = entry["command"].split()
        kept = [word for word in words if KEPT_FLAG.fullmatch(word)]
        for index, word in enumerate(words[:-1]):
            if word == "-isystem":
                kept += [word, words[index + 1]]
        flags[os.path.relpath(entry["file"])] = kept
    return flags


class Contents:
    """Files and the headers they include, read once each."""

    def __init__(self, roots):
        self.roots = roots
        self.known = {}

    def read(self, name):
        if name not in self.known:
            self.known[name] = None
            for root in self.roots:
                path = os.path.join(root, name)
                if os.path.isfile(path):
                    with open(path, "rb") as handle:
                        text = handle.read()
                    self.known[name] = (text, [m.decode() for m in INCLUDE.findall(text)])
                    break
        return self.known[name]

    def closure(self, name):
        """All texts the file is made of, in a stable order."""
        seen = {}
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            found = self.read(current)
            seen[current] = found[0] if found else b""
            waiting += found[1] if found else []
        return [seen[key] for key in sorted(seen)]


def key_of(stamp, flags, texts):
    digest = hashlib.sha256(stamp)
    digest.update(" ".join(flags).encode())
    for text in texts:
        digest.update(b"\0")
        digest.update(text)
    return digest.hexdigest()


def check(tool, path, flags):
    """Returns (clean, diagnostics)."""
    command = [tool, "--quiet", path, "--", "-std=gnu17", "-Wno-everything", *flags]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.returncode == 0, result.stdout + ("" if result.returncode == 0 else result.stderr)


def forget_old(cache_dir, days_max=14):
    """The memory must not grow without bound: what was not asked for lately goes."""
    oldest = time.time() - days_max * 86400
    for name in os.listdir(cache_dir):
        path = os.path.join(cache_dir, name)
        if os.path.getmtime(path) < oldest:
            os.remove(path)


def main():
    tool, build_dir, cache_dir, *paths = sys.argv[1:]
    os.makedirs(cache_dir, exist_ok=True)
    flags = flags_of(build_dir)
    # For what this build leaves out (the fuzzers): the flags of any source that sees all headers.
    root = f"-I{os.getcwd()}"
    generic = next((own for own in flags.values() if root in own), [root])
    contents = Contents([".", build_dir])
    version = subprocess.run([tool, "--version"], capture_output=True, check=True).stdout
    with open(".clang-tidy", "rb") as handle:
        stamp = version + handle.read()
    work = []
    for path in paths:
        own = flags.get(path, generic)
        mark = os.path.join(cache_dir, key_of(stamp, own, contents.closure(path)))
        if os.path.exists(mark):
            os.utime(mark)
        else:
            work.append((path, own, mark))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {pool.submit(check, tool, path, own): (path, mark) for path, own, mark in work}
        for run in concurrent.futures.as_completed(runs):
            clean, text = run.result()
            path, mark = runs[run]
            if clean:
                with open(mark, "w", encoding="utf-8") as handle:
                    handle.write(path + "\n")
            else:
                failed += 1
                print(text.rstrip(), flush=True)
    forget_old(cache_dir)
    print(f"tidy: {len(paths)} files, {len(work)} looked at, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
