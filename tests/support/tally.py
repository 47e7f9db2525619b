#!/usr/bin/env python3
"""Prints "passed failed skipped" of a JUnit report of ctest."""
import sys
import xml.etree.ElementTree


def main():
    suite = xml.etree.ElementTree.parse(sys.argv[1]).getroot()
    total, failed, skipped = (
        int(suite.get(name, "0")) for name in ("tests", "failures", "skipped")
    )
    disabled = int(suite.get("disabled", "0"))
    print(total - failed - skipped - disabled, failed, skipped + disabled)


if __name__ == "__main__":
    main()
