#!/usr/bin/env python3
"""The analysers, with our configuration, must object to planted faults and pass good code."""
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

GOOD = """int tt_good(int value);
int tt_good(int value)
{
    return value + 1;
}
"""
BAD_NAME = GOOD.replace("tt_good", "ttBad")
NULL_USE = """int tt_f(const int *p);
int tt_f(const int *p)
{
    if (!p) {
        return *p;
    }
    return 0;
}
"""
OVERRUN = """int tt_g(void);
int tt_g(void)
{
    int a[2] = {0, 0};
    a[2] = 1;
    return a[0];
}
"""
BAD_FORMAT = "int   tt_h( void );\n"


class ToolsTest(unittest.TestCase):
    """Each tool on a file of one's own."""

    def run_on(self, text, command):
        with tempfile.TemporaryDirectory(prefix="tutti-lint-") as folder:
            path = os.path.join(folder, "x.c")
            with open(path, "w", encoding="utf-8") as handle:
                handle.write(text)
            filled = [word.replace("FILE", path) for word in command]
            return subprocess.run(filled, cwd=ROOT, capture_output=True, text=True, check=False)

    def tidy(self, text):
        tool = os.environ.get("TIDY", "clang-tidy-14")
        config = os.path.join(ROOT, ".clang-tidy")
        return self.run_on(text, [tool, "--quiet", f"--config-file={config}", "FILE", "--"])

    def cppcheck(self, text):
        return self.run_on(
            text, ["cppcheck", "--quiet", "--error-exitcode=1", "--enable=warning", "FILE"]
        )

    def test_tidy_passes_good_code(self):
        self.assertEqual(self.tidy(GOOD).returncode, 0)

    def test_tidy_finds_a_name_out_of_style(self):
        result = self.tidy(BAD_NAME)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("readability-identifier-naming", result.stdout)

    def test_tidy_follows_paths_to_a_null_pointer(self):
        result = self.tidy(NULL_USE)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("clang-analyzer-core.NullDereference", result.stdout)

    def test_cppcheck_passes_good_code(self):
        self.assertEqual(self.cppcheck(GOOD).returncode, 0)

    def test_cppcheck_finds_an_overrun(self):
        result = self.cppcheck(OVERRUN)
        self.assertEqual(result.returncode, 1)
        self.assertIn("arrayIndexOutOfBounds", result.stderr)

    def test_format_finds_a_line_out_of_style(self):
        tool = "clang-format-14"
        if subprocess.run(["which", tool], capture_output=True, check=False).returncode != 0:
            self.skipTest(f"{tool} is not packaged here")
        style = "--style=file:" + os.path.join(ROOT, ".clang-format")
        command = [tool, "--dry-run", "-Werror", style, "FILE"]
        self.assertEqual(self.run_on(GOOD, command).returncode, 0)
        self.assertNotEqual(self.run_on(BAD_FORMAT, command).returncode, 0)


if __name__ == "__main__":
    sys.exit(unittest.main())
