"""Nodes for a test cluster: real agents, each with a containerd of its own in the test's directory.

    with Cluster() as cluster, Nodes(cluster, 2) as nodes:
        nodes["n1"].agent.kill()

containerd is set up by tools/containerd.sh, as `./dev run` does. Nothing of it outlives the test: a
janitor, a process of its own, waits for the end of a pipe that this process holds open, and then
ends every task, shim and mount below the directory, also when the test was killed.
"""
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

from cluster import ROOT, free_ports, wait_for

PROGRAMS = ("containerd", "ctr", "runc", "umoci", "gcc", "busybox", "setpriv", "unshare")
JANITOR = """
cd "$1" && source tools/lib.sh && source tools/containerd.sh
read -r word
for dir in "$2"/*/containerd; do
    [ -e "$dir" ] || continue
    containerd_stop "$dir" "$(basename "$(dirname "$dir")")" &
done
wait
containerd_unmount "$2"
case $word in
keep) ;;
clean) rm -rf --one-file-system "$2"/n[0-9]* ;;
*) rm -rf --one-file-system "$2" ;; # the test was killed: nobody else does it
esac
"""
START = """
cd "$1" && source tools/lib.sh && source tools/containerd.sh && source tools/image.sh
socket=$(containerd_start "$2" "$3") && image_import "$socket" && echo "$socket"
"""
IMAGE = """
cd "$1" && source tools/lib.sh && source tools/image.sh && image_build build/images/sys.tar
"""


def why_not():
    """Why this machine cannot run containers; "" when it can."""
    if os.geteuid() != 0:
        return "containers need root"
    for program in PROGRAMS:
        if not shutil.which(program):
            return f"{program} is not installed: ./dev test installs it"
    with tempfile.TemporaryDirectory(prefix="tutti-probe-") as probe:
        for name in ("low", "up", "work", "all"):
            os.mkdir(f"{probe}/{name}")
        mount = (
            f"mount -t overlay overlay -o lowerdir={probe}/low,upperdir={probe}/up,"
            f"workdir={probe}/work {probe}/all"
        )
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--fork", "sh", "-c", mount],
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
    if done.returncode != 0:
        return f"the kernel lacks namespaces or overlay file systems: {done.stderr.strip()}"
    return "" if os.path.exists("/sys/fs/cgroup") else "the kernel has no control groups"


def processes_below(directory):
    """Pids of processes whose command line names the directory; not this one's."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as handle:
                text = handle.read().decode("utf-8", "replace")
        except OSError:
            continue
        if f"{directory}/" in text and int(path.split("/")[2]) != os.getpid():
            found.append(f"{path.split('/')[2]}: {text.replace(chr(0), ' ')}")
    return found


def mounts_below(directory):
    with open("/proc/self/mounts", encoding="utf-8") as handle:
        return [line for line in handle if line.split()[1].startswith(f"{directory}/")]


class Agent:
    """One tuttid agent process."""

    def __init__(self, node):
        self.node = node
        self.process = None

    def command(self):
        node, cluster = self.node, self.node.cluster
        urls = ",".join(f"https://127.0.0.1:{s.api_port}" for s in cluster.servers.values())
        return [
            f"{cluster.build}/tuttid", "agent", "--name", node.name, "--server", urls,
            "--cert", f"{cluster.pki}/{node.name}.crt", "--key", f"{cluster.pki}/{node.name}.key",
            "--ca", f"{cluster.pki}/ca.crt", "--data-dir", node.data_dir,
            "--runtime-endpoint", f"unix://{node.socket}", "--listen", f"127.0.0.1:{node.port}",
            "--log-level", "debug",
        ]  # fmt: skip

    def start(self):
        assert self.process is None
        with open(self.node.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def stop(self):
        """A clean stop: its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        self.process = None
        return code


class Node:
    """One node: a directory with the agent's data and a containerd."""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name
        self.dir = f"{cluster.dir}/{name}"
        self.data_dir = f"{self.dir}/data"
        self.log_path = f"{self.dir}/log"
        self.port = free_ports(1)[0]
        self.runtime_dir = f"{self.dir}/containerd/{name}"
        self.socket = f"{self.runtime_dir}/c.sock"
        os.makedirs(self.dir)
        cluster.issue("agent", name)
        self.agent = Agent(self)

    def begin_containerd(self):
        """A process that starts it, or finds it running, and imports the images."""
        return subprocess.Popen(
            ["bash", "-c", START, "-", ROOT, f"{self.dir}/containerd", self.name],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start_containerd(self, starter=None):
        starter = starter or self.begin_containerd()
        out, _ = starter.communicate(timeout=60)
        assert starter.returncode == 0 and out.strip() == self.socket, out

    def containerd_pid(self):
        with open(f"{self.runtime_dir}/containerd.pid", encoding="ascii") as handle:
            return int(handle.read())

    def kill_containerd(self):
        pid = self.containerd_pid()
        os.kill(pid, signal.SIGKILL)
        wait_for("containerd has ended", lambda: not self.is_running(pid), 10)

    @staticmethod
    def is_running(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as handle:
                return handle.read().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def ctr(self, *args):
        done = subprocess.run(
            ["ctr", "-a", self.socket, "-n", "k8s.io", *args],
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
        return done.stdout

    def tasks(self):
        """Pid of each running task by id."""
        rows = [line.split() for line in self.ctr("tasks", "ls").splitlines()[1:]]
        return {row[0]: int(row[1]) for row in rows if row[2] == "RUNNING"}

    def containers(self):
        return self.ctr("containers", "ls", "-q").split()

    def kill_container(self, container_id):
        os.kill(self.tasks()[container_id], signal.SIGKILL)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as handle:
            return handle.read()


class Nodes(dict):
    """Nodes n1, n2, … of a cluster, by name."""

    def __init__(self, cluster, count):
        super().__init__()
        self.cluster = cluster
        self.count = count
        self.janitor = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is not None or self.cluster.keep:
            for node in self.values():
                lines = node.log().splitlines()[-30:]
                print(f"--- end of the log of {node.name}", *lines, sep="\n")
        ended = {node.name: node.agent.stop() for node in self.values() if node.agent.alive()}
        self.stop()
        assert kind is not None or not any(ended.values()), f"agents ended with {ended}"
        left = processes_below(self.cluster.dir) + mounts_below(self.cluster.dir)
        left = [what for what in left if "tuttid server" not in what.replace("\0", " ")]
        assert kind is not None or not left, f"left behind: {left}"

    def start(self):
        self.janitor = subprocess.Popen(
            ["setsid", "--fork", "bash", "-c", JANITOR, "-", ROOT, self.cluster.dir],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        if not os.path.exists(f"{ROOT}/build/images/sys.tar"):
            subprocess.run(["bash", "-c", IMAGE, "-", ROOT], check=True, timeout=60)
        for i in range(self.count):
            name = f"n{i + 1}"
            self[name] = Node(self.cluster, name)
        starters = {name: node.begin_containerd() for name, node in self.items()}
        for name, starter in starters.items():
            self[name].start_containerd(starter)
        for node in self.values():
            node.agent.start()

    def stop(self):
        """Ends the agents, then has the janitor do its work and waits for its end."""
        for node in self.values():
            if node.agent.alive():
                node.agent.kill()
        word = b"keep\n" if os.environ.get("TUTTI_KEEP") else b"clean\n"
        self.janitor.stdin.write(word)
        self.janitor.stdin.close()
        began = time.monotonic()
        self.janitor.stdout.read()  # until it has ended
        print(f"cleaned up in {time.monotonic() - began:.1f} s", flush=True)
        self.janitor.stdout.close()
        self.janitor.wait()
