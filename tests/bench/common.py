"""What all benchmarks share: options, the load client, medians, results, the table."""
import argparse
import contextlib
import json
import math
import os
import platform
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

from clusters import ROOT, BenchError

LOAD = os.path.join(ROOT, "build", "tests", "bench", "load")
RESULTS = os.path.join(ROOT, "build", "bench")


def options(text, **defaults):
    """The parser every benchmark begins with."""
    parser = argparse.ArgumentParser(description=text,
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--base-port", type=int, default=defaults.get("base_port", 25440),
                        help="first of some 350 ports on loopback")
    parser.add_argument("--quick", action="store_true", help="little and short: does it work?")
    return parser


@contextlib.contextmanager
def work_dir():
    """Below build/, so that both systems use the disk the project lies on."""
    os.makedirs(RESULTS, exist_ok=True)
    path = tempfile.mkdtemp(prefix="work.", dir=RESULTS)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def load_command(cluster, mode, endpoints, **settings):
    words = [LOAD, "--mode", mode, "--endpoint", ",".join(endpoints), "--ca", cluster.ca, "--cert",
             cluster.cert, "--key", cluster.key]
    for name, value in settings.items():
        words += ["--" + name.replace("_", "-"), str(value)]
    return words


def load(cluster, mode, endpoints, timeout=600, **settings):
    """Runs the load client to its end and returns its report."""
    done = subprocess.run(load_command(cluster, mode, endpoints, **settings), capture_output=True,
                          text=True, timeout=timeout, check=False)
    cluster.check_alive()
    if done.returncode != 0:
        raise BenchError(f"load {mode}: {done.stderr.strip()}")
    report = json.loads(done.stdout)
    if report["operations"] == 0:
        raise BenchError(f"load {mode}: nothing succeeded: {report['first_error']}")
    return report


class Windows:
    """A load client that goes on and on; what it measures is cut into windows without gaps."""

    CUT_S = 30  # the client answers after the second that is under way

    def __init__(self, cluster, mode, endpoints, **settings):
        self.cluster = cluster
        self.client = subprocess.Popen(
            load_command(cluster, mode, endpoints, **settings) + ["--windows"], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.kill()
        self.client.communicate()

    def cut(self):
        """Ends the window; the next one has begun when its report is here."""
        line = ""
        try:
            self.client.stdin.write("\n")
            self.client.stdin.flush()
            if select.select([self.client.stdout], [], [], self.CUT_S)[0]:
                line = self.client.stdout.readline()
        except BrokenPipeError:
            pass  # the same as no answer
        self.cluster.check_alive()
        if not line:
            self.client.kill()
            raise BenchError("the load client gives no report: "
                             + (self.client.communicate()[1].strip() or "no reason told"))
        return json.loads(line)


def quantile(values, part):
    """The smallest value that is not below `part` of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)]


def quartiles(values):
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as handle:
        for line in handle:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo", encoding="ascii") as handle:
        memory = int(handle.readline().split()[1]) / 2**20
    with open("/etc/os-release", encoding="utf-8") as handle:
        system = dict(line.rstrip().replace('"', "").split("=", 1)
                      for line in handle if "=" in line)["PRETTY_NAME"]
    return (f"{os.cpu_count()} × {model}, {memory:.0f} GiB, Linux {platform.release()}, {system}, "
            f"load average before {LOAD_BEFORE[0]:.1f}")


LOAD_BEFORE = os.getloadavg()


class Results:
    """Rows of medians for NAME.json; every single value goes to NAME.rounds.json."""

    def __init__(self, name):
        self.name = name
        self.rows = []
        self.details = []

    def add(self, case, tutti, peer, unit, size=0, outstanding=0, rounds=None):
        """tutti and peer: lists of one value per round. A unit per second is better when larger,
        any other when smaller; the ratio is above 1 where tutti is better."""
        own, other = quartiles(tutti), quartiles(peer)
        more_is_better = unit.endswith("/s")
        parts = (own[1], other[1]) if more_is_better else (other[1], own[1])
        ratio = parts[0] / parts[1] if parts[1] else 0.0
        self.rows.append({"case": case, "size_bytes": size, "outstanding": outstanding,
                          "tutti": round(own[1], 3), "peer": round(other[1], 3), "unit": unit,
                          "ratio": round(ratio, 3), "rounds": rounds or len(tutti)})
        self.details.append({"case": case, "size_bytes": size, "outstanding": outstanding,
                             "tutti_quartiles": own, "peer_quartiles": other, "tutti": tutti,
                             "peer": peer})
        self.save()

    def add_bar(self, case, values, bar, unit, size=0, rounds=None):
        """Where there is no peer, the bar to keep takes its place and the case says so."""
        self.add(f"{case} (bar)", values, [bar], unit, size, 0, rounds)

    def keep(self, case, tutti, peer):
        """Single values that are no row, for NAME.rounds.json only."""
        self.details.append({"case": case, "tutti": tutti, "peer": peer})
        self.save()

    def save(self):
        for suffix, rows in (("", self.rows), (".rounds", self.details)):
            path = os.path.join(RESULTS, f"{self.name}{suffix}.json")
            with open(path + ".tmp", "w", encoding="utf-8") as handle:
                json.dump({"machine": machine(), "rows": rows}, handle, indent=1)
                handle.write("\n")
            os.replace(path + ".tmp", path)

    def table(self):
        print(machine())
        print(f"{'case':<34}{'bytes':>6}{'out':>6}{'tutti':>10}{'quartiles':>18}{'peer':>10}"
              f"{'quartiles':>18}  {'unit':<6}{'ratio':>7}{'rounds':>7}")
        details = [detail for detail in self.details if "tutti_quartiles" in detail]
        for row, detail in zip(self.rows, details):
            spans = ["{}-{}".format(*(short(detail[who][i]) for i in (0, 2)))
                     for who in ("tutti_quartiles", "peer_quartiles")]
            print(f"{row['case']:<34}{row['size_bytes'] or '':>6}{row['outstanding'] or '':>6}"
                  f"{short(row['tutti']):>10}{spans[0]:>18}{short(row['peer']):>10}{spans[1]:>18}"
                  f"  {row['unit']:<6}{row['ratio']:>7.2f}{row['rounds']:>7}")
        print(f"written to build/bench/{self.name}.json and {self.name}.rounds.json")


def short(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def progress(text):
    print(text, file=sys.stderr, flush=True)


def run(main):
    """Ends with one line instead of a trace where the reason is known."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))  # cleans up, too
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
