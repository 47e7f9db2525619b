"""./dev with words that mean nothing: it says so, and starts, stops and removes nothing."""
import os
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class DevTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="tutti-dev-")
        self.addCleanup(self.dir.cleanup)
        # What `down` would remove.
        os.mkdir(f"{self.dir.name}/run")

    def dev(self, *words):
        environment = dict(os.environ, TUTTI_RUN_DIR=f"{self.dir.name}/run")
        return subprocess.run([f"{ROOT}/dev", *words], cwd=self.dir.name, env=environment,
                              capture_output=True, text=True, timeout=60, check=False)  # fmt: skip

    def test_help_of_each_command_only_prints(self):
        for command in ("down", "run", "test", "lint", "format", "build", "cluster"):
            for word in ("--help", "-h"):
                done = self.dev(command, word)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("usage: ./dev COMMAND", done.stdout)
        self.assertTrue(os.path.isdir(f"{self.dir.name}/run"))

    def test_wrong_words_are_refused(self):
        target = f"{self.dir.name}/cluster"
        start = ["cluster", "start", "--dir", target]
        for words in (
            ["nothing"], ["down", "now"], ["run", "fast"], ["build", "debug"], ["format", "x.c"],
            ["test", "unti"], ["lint", "one"], ["lint", "tidy", "nope"], ["bench"], ["bench", "x"],
            ["cluster"], ["cluster", "start"], ["cluster", "restart", "--dir", target],
            [*start, "--servers", "0"], [*start, "--servers", "10"], [*start, "--servers", "03"],
            [*start, "--agents", "-1"], [*start, "--base-port", "70000"], [*start, "--servers"],
        ):  # fmt: skip
            done = self.dev(*words)
            self.assertEqual(done.returncode, 2, f"{words}: {done.stdout}{done.stderr}")
            self.assertNotEqual(done.stderr, "")
        self.assertFalse(os.path.exists(target))
        self.assertTrue(os.path.isdir(f"{self.dir.name}/run"))


if __name__ == "__main__":
    unittest.main()
