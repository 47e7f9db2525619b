#!/usr/bin/env python3
"""Prints "passed failed skipped" of a JUnit report of ctest.

A test that was not run has failed, unless it asked to be skipped or is disabled.
"""
import sys
import xml.etree.ElementTree


def verdict(case):
    """0 passed, 1 failed, 2 skipped."""
    if case.get("status") == "run":
        return 0
    if case.get("status") == "disabled":
        return 2
    skipped = case.find("skipped")
    asked = skipped is not None and "SKIP_" in (skipped.get("message") or "")
    return 2 if asked else 1


def main():
    counts = [0, 0, 0]
    for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        counts[verdict(case)] += 1
    print(*counts)


if __name__ == "__main__":
    main()
