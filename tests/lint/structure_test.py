#!/usr/bin/env python3
"""Each structural check must be able to fail, and must stay silent about good code."""
import os
import shutil
import sys
import tempfile
import unittest

import structure

HEADER = "/* Purpose. Ownership, thread, errors: none. */\n"
HERE = os.path.dirname(os.path.abspath(__file__))


def function(body, head="int f(void)"):
    return head + "\n{\n" + body + "}\n"


class StructureTest(unittest.TestCase):
    """One tree per test, with a single fault in it."""

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="tutti-lint-")
        self.addCleanup(shutil.rmtree, self.root)
        self.write("tests/lint/layers.txt", self.layers())

    @staticmethod
    def layers():
        with open(os.path.join(HERE, "layers.txt"), encoding="utf-8") as handle:
            return handle.read()

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as handle:
            handle.write(text)

    def rules(self):
        return [finding.split(": ")[1] for finding in structure.check_tree(self.root)]

    def expect(self, path, text, *rules):
        self.write(path, text)
        self.assertEqual(self.rules(), list(rules))

    def test_good_code_passes(self):
        body = "".join(f"    if (a == {i}) {{\n        g();\n    }}\n" for i in range(14))
        text = '/* essay */\n#include "base/x.h"\n\nstatic const int table[] = {1, 2};\n'
        self.write("base/x.h", HEADER + "int f(int a, int b, int c, int d, int e, int g);\n")
        self.expect("raft/x.c", text + function(body))

    def test_a_function_of_71_lines(self):
        self.expect("raft/x.c", function("    g();\n" * 67))
        self.expect("raft/x.c", function("    g();\n" * 68), "function-size")

    def test_a_file_of_801_lines(self):
        self.expect("raft/x.c", "\n" * 800)
        self.expect("raft/x.c", "\n" * 801, "file-size")

    def test_a_header_of_251_lines(self):
        self.expect("raft/x.h", HEADER + "\n" * 249)
        self.expect("raft/x.h", HEADER + "\n" * 250, "file-size")

    def test_a_header_without_its_purpose(self):
        self.expect("raft/x.h", "int f(void);\n", "header-comment")
        self.expect("raft/x.h", HEADER.replace("thread, ", ""), "header-comment")
        self.expect("raft/x.h", HEADER)

    def test_seven_parameters(self):
        head = "int go(int a, void (*b)(int, int), int c, int d, int e, int f%s)"
        self.expect("raft/x.c", function("    g();\n", head % ""))
        self.expect("raft/x.c", function("    g();\n", head % ", int h"), "parameters")

    def test_seven_parameters_that_a_library_dictates(self):
        head = "static int cb(int a, int b, int c, int d, int e, int f, int g)"
        use = function("    library_set(session, cb);\n")
        self.expect("raft/x.c", function("    g();\n", head) + use)

    def test_a_function_pointer_with_seven_parameters(self):
        parameters = "int a, int b, int c, int d, int e, int f, int g"
        member = f"struct s {{\n    int (*f)({parameters}); /* x */\n}};\n"
        self.expect("raft/x.c", member, "parameters")

    def test_five_levels(self):
        def nest(depth):
            return "if (a) {\n" * depth + "g();\n" + "}\n" * depth

        self.expect("raft/x.c", function(nest(4)))
        self.expect("raft/x.c", function(nest(5)), "nesting")

    def test_braces_of_values_are_no_levels(self):
        self.expect("raft/x.c", function("s = (struct a){{{{{1}}}}};\n"))

    def test_sixteen_ways_through(self):
        choice = "a ? b : c;\n"
        self.expect("raft/x.c", function("if (a && b || c) {\n}\n" * 4 + choice * 2))
        self.expect("raft/x.c", function("if (a && b || c) {\n}\n" * 5), "complexity")

    def test_stacked_cases_are_one_way(self):
        cases = "".join(f"case {i}:\n" for i in range(30))
        self.expect("raft/x.c", function("switch (a) {\n" + cases + "g();\n}\n"))

    def test_101_columns(self):
        self.expect("raft/x.c", "/* " + "x" * 95 + "*/\n")
        self.expect("raft/x.c", "/* " + "x" * 96 + "*/\n", "columns")

    def test_an_upward_include(self):
        self.expect("base/x.c", '#include "raft/node.h"\n', "include-direction")

    def test_an_include_between_siblings(self):
        self.expect("reconciler/core/x.c", '#include "raft/node.h"\n', "include-direction")
        self.expect(
            "reconciler/core/x.c",
            '#include "reconciler/containers/pod.h"\n',
            "include-direction",
        )

    def test_an_include_of_no_layer(self):
        self.expect("raft/x.c", '#include "attic/x.h"\n', "include-direction")

    def test_an_include_that_is_not_from_the_root(self):
        self.expect("raft/x.c", '#include "node.h"\n', "include-root")

    def test_a_cycle(self):
        self.write("raft/a.h", HEADER + '#include "raft/b.h"\n')
        self.expect("raft/b.h", HEADER + '#include "raft/a.h"\n', "include-cycle")

    def test_banned_calls(self):
        for call in ("strcpy(a, b)", "sprintf(a, b)", "system(a)", "atoi(a)", "malloc(a)"):
            self.expect("raft/x.c", function(f"    {call};\n"), "banned-call")

    def test_allocation_is_for_base(self):
        self.expect("base/x.c", function("    free(a);\n"))

    def test_a_clock_outside_base(self):
        self.expect("raft/x.c", function("    clock_gettime(a, b);\n"), "banned-call")

    def test_words_in_comments_and_strings_are_no_calls(self):
        self.expect("raft/x.c", function('    /* strcpy(a, b) */ log("system(x)"); a->free(b);\n'))

    def test_a_jump_back(self):
        self.expect("raft/x.c", function("    goto out;\nout:\n    g();\n"))
        self.expect("raft/x.c", function("    g();\nout:\n    goto out;\n"), "goto-back")

    def test_a_mutable_global(self):
        self.expect("raft/x.c", "static int counter;\n", "mutable-global")
        self.expect("raft/x.c", "static const struct a b = {1};\n")

    def test_unfinished_work(self):
        word = "TO" + "DO"
        self.expect("raft/x.c", f"/* {word}: later */\n", "unfinished")

    def test_a_member_without_a_comment(self):
        told = "struct s {\n    /* above */\n    int a;\n    int b; /* beside,\n  and below */\n"
        self.expect("raft/x.c", told + "    void (*f)(int x, /* in it */\n        int y);\n};\n")
        self.expect("raft/x.c", told + "    int c;\n};\n", "member-comment")
        inner = "    struct { /* which */\n        int c; /* what */\n    } d[2];\n};\n"
        self.expect("raft/x.c", told + inner)
        self.expect("raft/x.c", told + inner.replace("/* which */", ""), "member-comment")
        self.expect("raft/x.c", told + inner.replace("/* what */", ""), "member-comment")
        self.expect("tests/unit/raft/x.c", "struct s {\n    int a;\n};\n", "member-comment")

    def test_a_link_to_nothing(self):
        self.write("docs/y.md", "text")
        good = "[y](y.md) [part](y.md#z) [here](#z) [web](https://example.org/y.md) [up](../docs)\n"
        self.expect("docs/x.md", good)
        self.expect("docs/x.md", "[z](z.md)\n", "dead-link")


if __name__ == "__main__":
    sys.exit(unittest.main())
