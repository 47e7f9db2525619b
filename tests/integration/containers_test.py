"""Real containers through real agents: two nodes with a containerd each, three servers.

Everything slow is started once and waited for where it is looked at; each test is about one promise
and leaves the cluster as the next one needs it (they run in the order of their numbers)."""
import glob
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import SKIP, Cluster, free_ports, run_tests, wait_for  # noqa: E402
from ctl_test import Ctl  # noqa: E402
from nodes import Nodes, mounts_below, why_not  # noqa: E402

IMAGE = "tutti.local/sys:busybox"
COUNTERS = ("counter", "counter-2")  # one for each client that follows
PODS = "/api/v1/namespaces/default/pods"
REPLICAS = 3
ROTATED_LINES = 400000  # about 30 MB of log, three times what one file may hold
SERVE = """
mkdir -p /www && ln -s /config /www/config && echo "$POD_NAME" > /www/index.html
for port in PORTS; do
    echo "trying port $port"
    httpd -f -p "127.0.0.1:$port" -h /www && exit 0
done
exit 1
"""


def container(script, **more):
    return {
        "name": "main", "image": IMAGE, "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", script],
        "resources": {"requests": {"cpu": "5m", "memory": "4Mi"}}, **more,
    }  # fmt: skip


def pod(name, main, volumes=(), grace_s=1, **more):
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"hostNetwork": True, "terminationGracePeriodSeconds": grace_s,
                 "containers": [main], "volumes": list(volumes), **more},
    }  # fmt: skip


def hello(ports):
    field = [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    main = container(
        SERVE.replace("PORTS", " ".join(map(str, ports))), env=field,
        volumeMounts=[{"name": "config", "mountPath": "/config"}],
    )  # fmt: skip
    spec = pod("hello", main, [{"name": "config", "configMap": {"name": "hello"}}])["spec"]
    labels = {"app": "hello"}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "hello"},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": spec}},
    }  # fmt: skip


def shared(name="shared"):
    return {"name": name, "emptyDir": {}}


def mounted(name, path):
    return [{"name": name, "mountPath": path}]


def probe(command, **more):
    return {"exec": {"command": command}, "periodSeconds": 1, "failureThreshold": 2, **more}


def helpers():
    """The pods that tests look at later, and what they need."""
    both = [
        {"name": "FROM_MAP", "valueFrom": {"configMapKeyRef": {"name": "values", "key": "word"}}},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
    ]
    reader = container(
        'echo "env $FROM_MAP $FROM_SECRET $word $token"; exec sleep 1000', env=both,
        envFrom=[{"configMapRef": {"name": "values"}}, {"secretRef": {"name": "keys"}}],
        volumeMounts=mounted("secret", "/secret"),
    )  # fmt: skip
    secret = {"name": "secret", "secret": {"secretName": "files", "defaultMode": 0o400}}
    shared_mount = mounted("shared", "/shared")
    crash = container("date +%s >> /shared/starts; exit 3", volumeMounts=shared_mount)
    counter = container("n=0; while true; do n=$((n + 1)); echo line $n; sleep 0.2; done")
    sick = container(
        "touch /tmp/well; sleep 4; rm /tmp/well; exec sleep 1000",
        livenessProbe=probe(["test", "-e", "/tmp/well"]),
    )
    shy = container(
        "exec sleep 1000", volumeMounts=shared_mount,
        readinessProbe=probe(["test", "-e", "/shared/ready"]),
    )  # fmt: skip
    hooks = {"postStart": {"exec": {"command": ["touch", "/shared/hello"]}},
             "preStop": {"exec": {"command": ["touch", "/shared/leaving"]}}}  # fmt: skip
    polite = container(
        "trap 'test -e /shared/leaving && sleep 2 && echo bye > /shared/bye; exit 0' TERM;"
        "while true; do sleep 0.1; done",
        volumeMounts=shared_mount, lifecycle=hooks,
    )  # fmt: skip
    deaf = container("trap '' TERM; while true; do sleep 0.1; done")
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "values"},
         "data": {"word": "plain"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"},
         "stringData": {"token": "in-env"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "files"},
         "stringData": {"token": "hidden-1"}},
        pod("reader", reader, [secret]),
        pod("crash", crash, [shared()]),
        *(pod(name, counter) for name in COUNTERS),
        pod("sick", sick),
        pod("shy", shy, [shared()]),
        pod("polite", polite, [{"name": "shared", "hostPath": {"path": "POLITE"}}], grace_s=20),
        pod("deaf", deaf, grace_s=2),
    ]  # fmt: skip


def status_of(pod_object):
    """Status of the first container, {} while there is none."""
    return (pod_object["status"].get("containerStatuses") or [{}])[0]


def restarts(pod_object):
    return status_of(pod_object).get("restartCount", 0)


def is_ready(pod_object):
    return any(c["type"] == "Ready" and c["status"] == "True"
               for c in pod_object["status"].get("conditions", []))  # fmt: skip


def id_of(pod_object):
    return status_of(pod_object)["containerID"].removeprefix("containerd://")


class ContainersTest(unittest.TestCase):
    """One cluster for all."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(Cluster())
        cls.nodes = cls.enterClassContext(Nodes(cls.cluster, 2))
        cls.ctl = Ctl(cls.cluster, list(cls.cluster.servers.values()))
        cls.ports = free_ports(2 * REPLICAS + 2)
        cls.polite_dir = f"{cls.cluster.dir}/polite"
        os.mkdir(cls.polite_dir)
        for name in cls.nodes:
            cls.ctl.ok("wait", f"node/{name}", "--for=create", "--timeout=30s")
            cls.ctl.ok("wait", f"node/{name}", "--for=condition=Ready", "--timeout=30s")
        greeting = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hello"},
                    "data": {"greeting": "first"}}  # fmt: skip
        cls.apply(greeting, hello(cls.ports), *helpers())

    def setUp(self):
        if not self.cluster.keep:
            print(f"[{time.monotonic():.0f}] {self.id().rpartition('.')[2]}", flush=True)

    def run(self, result=None):
        failed = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > failed:
            type(self).cluster.keep = True  # shows the ends of the logs

    @classmethod
    def apply(cls, *objects):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        return cls.ctl.ok("apply", "-f", "-", stdin=text.replace("POLITE", cls.polite_dir))

    def get(self, path):
        with self.cluster.client() as client:
            answer = client.call("GET", path)
        self.assertEqual(answer.code, 200, answer.text)
        return answer.json

    def pod(self, name):
        return self.get(f"{PODS}/{name}")

    def wait_pod(self, name, what, condition, timeout_s=30):
        return wait_for(f"pod {name}: {what}", lambda: (p := self.pod(name)) and condition(p) and p,
                        timeout_s, 0.05)  # fmt: skip

    def wait_running(self, name):
        return self.wait_pod(name, "runs", lambda p: "running" in status_of(p).get("state", {}))

    def web(self):
        """The live pods of the Deployment by name."""
        items = self.get(f"{PODS}?labelSelector=app%3Dhello")["items"]
        return {p["metadata"]["name"]: p for p in items
                if "deletionTimestamp" not in p["metadata"]}  # fmt: skip

    def wait_web(self, timeout_s=30):
        def complete():
            pods = self.web()
            return len(pods) == REPLICAS and all(map(is_ready, pods.values())) and pods

        return wait_for("all replicas are ready", complete, timeout_s, 0.05)

    def node_of(self, pod_object):
        return self.nodes[pod_object["spec"]["nodeName"]]

    def fetch(self, port, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                return answer.read().decode().strip()
        except OSError:
            return None

    def pages(self, path="/"):
        """What the web servers say, by port."""
        found = {port: self.fetch(port, path) for port in self.ports}
        return {port: text for port, text in found.items() if text is not None}

    def volume(self, pod_object, name):
        data = self.node_of(pod_object).data_dir
        return f"{data}/pods/{pod_object['metadata']['uid']}/volumes/{name}"

    def delete(self, path, **options):
        with self.cluster.client() as client:
            answer = client.call("DELETE", path, options)
        self.assertIn(answer.code, (200, 202), answer.text)
        return answer.json

    def wait_gone(self, name, timeout_s=30):
        def gone():
            with self.cluster.client() as client:
                return client.call("GET", f"{PODS}/{name}").code == 404

        wait_for(f"pod {name} is gone", gone, timeout_s, 0.02)

    # ---- what a user sees first ----

    def test_01_a_deployment_serves_its_config_map(self):
        names = set(self.wait_web())
        wait_for("each replica answers", lambda: set(self.pages().values()) == names)
        self.assertEqual(set(self.pages("/config/greeting").values()), {"first"})
        status = self.get("/apis/apps/v1/namespaces/default/deployments/hello")["status"]
        self.assertEqual(status["availableReplicas"], REPLICAS)
        used = {self.node_of(p).name for p in self.web().values()}
        self.assertEqual(used, set(self.nodes), "the replicas share one node")

    def test_02_a_changed_config_map_reaches_running_containers(self):
        before = {name: id_of(p) for name, p in self.web().items()}
        self.ctl.ok("apply", "-f", "-", stdin=json.dumps(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hello"},
             "data": {"greeting": "second"}}))  # fmt: skip
        wait_for("the new text",
                 lambda: set(self.pages("/config/greeting").values()) == {"second"})
        self.assertEqual({name: id_of(p) for name, p in self.web().items()}, before)

    def test_03_environment_and_secret_volume(self):
        reader = self.wait_running("reader")
        said = wait_for("its first line", lambda: self.ctl.ok("logs", "reader"))
        self.assertEqual(said, "env plain in-env plain in-env\n")
        path = f"{self.volume(reader, 'secret')}/token"
        with open(path, encoding="ascii") as handle:
            self.assertEqual(handle.read(), "hidden-1")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o400)
        mount = next(line for line in mounts_below(self.node_of(reader).data_dir)
                     if line.split()[1] == self.volume(reader, "secret"))  # fmt: skip
        self.assertEqual(mount.split()[2], "tmpfs")
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "files"},
                    "stringData": {"token": "hidden-2"}})  # fmt: skip

        def renewed():
            with open(path, encoding="ascii") as handle:
                return handle.read() == "hidden-2"

        wait_for("the new secret in the volume", renewed)
        found = subprocess.run(["grep", "-rlsF", "hidden-", "--exclude=*.log", self.cluster.dir],
                               capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
        told = [name for name in found.stdout.split() if not name.startswith(path[:-5])]
        self.assertEqual(told, [], "a secret lies on the disk")

    # ---- containers that end ----

    def test_04_a_killed_container_is_restarted_and_counted(self):
        before = self.web()
        name = sorted(before)[0]
        self.node_of(before[name]).kill_container(id_of(before[name]))
        began = time.monotonic()
        after = self.wait_pod(name, "one restart", lambda p: restarts(p) == 1 and is_ready(p))
        print(f"restarted and told after {time.monotonic() - began:.2f} s", flush=True)
        ended = status_of(after)["lastState"]["terminated"]
        self.assertEqual(ended["exitCode"], 137)
        self.assertEqual(ended["containerID"], f"containerd://{id_of(before[name])}")
        for other in set(before) - {name}:
            self.assertEqual(id_of(self.pod(other)), id_of(before[other]))
        self.node_of(after).kill_container(id_of(after))
        waiting = self.wait_pod(name, "backs off", lambda p: "waiting" in status_of(p)["state"])
        self.assertEqual(status_of(waiting)["state"]["waiting"]["reason"], "CrashLoopBackOff")
        self.assertFalse(is_ready(waiting))

    def test_08_restarts_back_off(self):
        crash = self.pod("crash")
        path = f"{self.volume(crash, 'shared')}/starts"

        def starts():
            with open(path, encoding="ascii") as handle:
                return [int(line) for line in handle]

        times = wait_for("three starts", lambda: len(s := starts()) >= 3 and s, 60, 0.2)
        self.assertLess(times[1] - times[0], 9, "the first restart is at once, not 10 s later")
        self.assertGreaterEqual(times[2] - times[1], 9, "the second one waits 10 s")
        crash = self.wait_pod("crash", "counts", lambda p: restarts(p) >= 2)
        self.assertEqual(status_of(crash)["lastState"]["terminated"]["exitCode"], 3)

    # ---- logs ----

    def test_05_logs(self):
        counter = self.wait_running("counter")
        wait_for("some lines", lambda: self.ctl.ok("logs", "counter").count("\n") > 5)
        lines = self.ctl.ok("logs", "counter").splitlines()
        self.assertEqual(lines, [f"line {i + 1}" for i in range(len(lines))])
        tail = self.ctl.ok("logs", "counter", "--tail=2").splitlines()
        self.assertEqual(len(tail), 2)
        self.assertGreaterEqual(int(tail[0].split()[1]), len(lines) - 1)
        self.assertIn("previous terminated container", self.ctl.fails(2, "logs", "counter", "-p"))
        for name, command in zip(COUNTERS, self.clients()):
            self.follow(command, name)

    def clients(self):
        """How ours and, where it is there, kubectl are asked for logs."""
        ours = [self.ctl.program, "logs", f"--kubeconfig={self.ctl.kubeconfig}"]
        theirs = ["kubectl", f"--kubeconfig={self.ctl.kubeconfig}",
                  f"--cache-dir={self.cluster.dir}/cache", "logs"]  # fmt: skip
        return [ours, theirs] if shutil.which("kubectl") else [ours]

    def follow(self, command, name):
        """A follower sees the lines as they come, and the end when the container is killed."""
        counter = self.wait_running(name)
        with subprocess.Popen([*command, name, "-f", "--tail=1"], stdout=subprocess.PIPE,
                              text=True) as follower:  # fmt: skip
            numbers = [int(follower.stdout.readline().split()[1]) for _ in range(4)]
            self.assertEqual(numbers, list(range(numbers[0], numbers[0] + 4)))
            self.node_of(counter).kill_container(id_of(counter))
            rest = follower.stdout.read().splitlines()
            self.assertEqual(follower.wait(20), 0)
        last = int(rest[-1].split()[1]) if rest else numbers[-1]
        self.wait_pod(name, "is restarted", lambda p: restarts(p) == 1
                      and "running" in status_of(p)["state"])  # fmt: skip
        done = subprocess.run([*command, name, "--previous", "--tail=1"], capture_output=True,
                              text=True, check=True, timeout=20)  # fmt: skip
        self.assertEqual(done.stdout, f"line {last}\n")

    def test_06_logs_are_rotated_and_lose_nothing(self):
        # The writer is not more than two steps ahead of its reader, who has a file of 10 MB more.
        step = 20000
        script = (f"i=1; while [ $i -lt {ROTATED_LINES} ]; do seq $i $((i + {step - 1})); "
                  f"until [ -e /shared/$i ]; do sleep 0.05; done; sleep 0.3; i=$((i + {step})); "
                  "done; exec sleep 1000")  # fmt: skip
        shared_mount = mounted("shared", "/shared")
        self.apply(pod("writer", container(script, volumeMounts=shared_mount), [shared()]))
        writer = self.wait_running("writer")
        seen_dir = self.volume(writer, "shared")
        command = [*self.clients()[0], "writer", "-f"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as follower:
            timer = threading.Timer(90, follower.kill)
            timer.start()
            due = 1
            for line in follower.stdout:
                self.assertEqual(int(line), due, "lines were lost or mixed")
                if due % step == 1:
                    open(f"{seen_dir}/{due}", "w", encoding="ascii").close()
                due += 1
                if due > ROTATED_LINES:
                    break
            timer.cancel()
            follower.kill()
        self.assertGreater(due, ROTATED_LINES, "the follower's stream ended early")
        uid = writer["metadata"]["uid"]
        logs = f"{self.node_of(writer).data_dir}/logs/default_writer_{uid}/main"
        names = ["0.log", "0.log.1"]
        wait_for("two files of the log", lambda: sorted(os.listdir(logs)) == names)
        total = sum(os.path.getsize(f"{logs}/{name}") for name in names)
        self.assertLess(total, 45 << 20, "rotation keeps too much")
        self.delete(f"{PODS}/writer", gracePeriodSeconds=0)

    # ---- probes ----

    def test_07_liveness_and_readiness(self):
        sick = self.wait_pod("sick", "is restarted", lambda p: restarts(p) >= 1)
        self.assertEqual(status_of(sick)["lastState"]["terminated"]["exitCode"], 137)
        shy = self.wait_running("shy")
        self.assertFalse(is_ready(shy))
        with open(f"{self.volume(shy, 'shared')}/ready", "w", encoding="ascii"):
            pass
        self.wait_pod("shy", "is ready", is_ready)
        os.unlink(f"{self.volume(shy, 'shared')}/ready")
        shy = self.wait_pod("shy", "is ready no more", lambda p: not is_ready(p))
        self.assertEqual(restarts(shy), 0)

    # ---- the end of a pod ----

    def assert_nothing_left(self, pod_object):
        node, uid = self.node_of(pod_object), pod_object["metadata"]["uid"]

        def left():
            files = [path for below in ("pods", "logs")
                     for path in glob.glob(f"{node.data_dir}/{below}/*{uid}*")]  # fmt: skip
            with open("/proc/self/mounts", encoding="utf-8") as handle:
                mounts = [line for line in handle if uid in line]
            return files + mounts + [i for i in node.containers() if i == id_of(pod_object)]

        wait_for(f"nothing is left: {left()}", lambda: not left())

    def test_09_deletion_with_grace_leaves_nothing(self):
        polite, deaf = self.wait_running("polite"), self.wait_running("deaf")
        began = time.monotonic()
        self.assertTrue(os.path.exists(f"{self.polite_dir}/hello"), "no postStart hook")
        marked = self.delete(f"{PODS}/polite")
        self.delete(f"{PODS}/deaf")
        self.assertEqual(marked["metadata"]["deletionGracePeriodSeconds"], 20)
        self.wait_gone("polite")
        self.assertGreaterEqual(time.monotonic() - began, 2)
        self.assertTrue(os.path.exists(f"{self.polite_dir}/bye"), "it was not let finish")
        self.wait_gone("deaf")
        self.assertGreaterEqual(time.monotonic() - began, 2)
        self.assertLess(time.monotonic() - began, 20, "the whole grace was waited out")
        self.assert_nothing_left(polite)
        self.assert_nothing_left(deaf)

    # ---- processes that end ----

    def test_10_a_killed_agent_adopts_what_runs(self):
        self.wait_web()
        before = {p["metadata"]["name"]: p for p in self.get(PODS)["items"]
                  if p["metadata"]["name"] in {*self.web(), "reader", "shy"}}  # fmt: skip
        for node in self.nodes.values():
            node.agent.kill()
        self.assertEqual(len(self.pages()), REPLICAS, "containers end with their agent")
        victim = before["reader"]
        self.node_of(victim).kill_container(id_of(victim))
        for node in self.nodes.values():
            node.agent.start()
        name, count = victim["metadata"]["name"], restarts(victim)
        self.wait_pod(name, "its end while the agent was away is seen",
                      lambda p: restarts(p) == count + 1)
        for other in set(before) - {name}:
            now = self.pod(other)
            self.assertEqual(id_of(now), id_of(before[other]), f"{other} was restarted")
            self.assertEqual(restarts(now), restarts(before[other]))

    def test_11_a_killed_leader_keeps_containers(self):
        before = self.wait_web()
        leader = self.cluster.leader()
        leader.kill()
        began = time.monotonic()
        self.assertEqual(len(self.pages()), REPLICAS)
        self.cluster.leader()
        name = sorted(before)[1]
        self.delete(f"{PODS}/{name}")
        after = self.wait_web()
        self.assertNotIn(name, after)
        print(f"replaced {time.monotonic() - began:.1f} s after the leader's end", flush=True)
        for other in set(before) - {name}:
            self.assertEqual(id_of(after[other]), id_of(before[other]), f"{other} was restarted")
        leader.start(wait=True)

    def test_12_a_killed_containerd_keeps_containers(self):
        before = self.wait_web()
        node = self.nodes["n1"]
        node.kill_containerd()

        def ready(wanted):
            conditions = self.get("/api/v1/nodes/n1")["status"]["conditions"]
            return next(c["status"] for c in conditions if c["type"] == "Ready") == wanted

        wait_for("the node is not ready without a runtime", lambda: ready("False"))
        self.assertEqual(len(self.pages()), REPLICAS)
        node.start_containerd()
        wait_for("the node is ready again", lambda: ready("True"))
        for name, was in before.items():
            self.assertEqual(id_of(self.pod(name)), id_of(was), f"{name} was restarted")
        victim = next(p for p in before.values() if self.node_of(p) is node)
        node.kill_container(id_of(victim))
        self.wait_pod(victim["metadata"]["name"], "its end is seen", lambda p: id_of(p) !=
                      id_of(victim) or "waiting" in status_of(p)["state"])  # fmt: skip

    def test_13_new_certificates_are_used_without_a_restart(self):
        node = self.nodes["n1"]

        def serial():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.load_verify_locations(f"{self.cluster.pki}/ca.crt")
            context.load_cert_chain(f"{self.cluster.pki}/s1.crt", f"{self.cluster.pki}/s1.key")
            with socket.create_connection(("127.0.0.1", node.port), 5) as plain:
                with context.wrap_socket(plain) as tls:
                    return tls.getpeercert()["serialNumber"]

        before, pid = serial(), node.agent.process.pid
        self.cluster.issue("agent", "n1")
        wait_for("the new certificate is shown", lambda: serial() != before)
        self.assertEqual(node.agent.process.pid, pid)
        self.assertTrue(self.ctl.ok("logs", "reader"))

    # ---- what is told about it ----

    def reasons(self, kind, name):
        """Counts of the Events about an object by reason."""
        items = self.get("/api/v1/events?fieldSelector="
                         f"involvedObject.kind%3D{kind},involvedObject.name%3D{name}")["items"]
        return {event["reason"]: event["count"] for event in items}

    def test_14_events_tell_what_happened(self):
        expected = {
            ("Deployment", "hello"): {"ScalingReplicaSet"},
            ("Pod", "crash"): {"Scheduled", "Pulled", "Created", "Started", "BackOff"},
            ("Pod", "sick"): {"Unhealthy", "Killing"},
            ("Pod", "shy"): {"Unhealthy"},
            ("Node", "n1"): {"Starting", "NodeNotReady", "NodeReady"},
        }
        for (kind, name), reasons in expected.items():
            wait_for(f"{reasons} of {kind} {name}, not only {self.reasons(kind, name)}",
                     lambda k=kind, n=name, r=reasons: r <= set(self.reasons(k, n)))
        self.assertGreaterEqual(self.reasons("Pod", "crash")["Started"], 3)
        owner = next(iter(self.web().values()))["metadata"]["ownerReferences"][0]["name"]
        self.assertIn("SuccessfulCreate", self.reasons("ReplicaSet", owner))
        self.assertIn("Started container main", self.ctl.ok("describe", "pod/crash"))
        self.assertIn("BackOff", self.ctl.ok("events", "pod/crash"))
        with self.cluster.leader().client() as client:
            metrics = client.call("GET", "/metrics").text
        self.assertRegex(metrics, r"(?m)^tutti_events_written_total [1-9]")
        self.assertRegex(metrics, r"(?m)^tutti_events_dropped_total \d")

    # ---- what is not there yet ----

    def test_15_what_has_no_effect_is_said(self):
        odd = pod("odd", container("exec sleep 1000"), activeDeadlineSeconds=5)
        text = json.dumps(odd)
        expected = "spec.activeDeadlineSeconds: not supported yet: it is stored and has no effect"
        done = self.ctl.run("apply", "--dry-run=server", "-f", "-", stdin=text)
        self.assertEqual((done.returncode, done.stderr), (0, f"Warning: {expected}\n"))
        if shutil.which("kubectl"):
            done = subprocess.run(
                ["kubectl", f"--kubeconfig={self.ctl.kubeconfig}",
                 f"--cache-dir={self.cluster.dir}/cache", "create", "--dry-run=server", "-f", "-"],
                input=text, capture_output=True, text=True, check=True, timeout=20,
            )  # fmt: skip
            self.assertIn(f"Warning: {expected}", done.stderr)

    def test_17_a_pod_without_a_network_waits_and_goes_at_once(self):
        # These nodes have no CNI configuration: there is a network for hostNetwork only.
        alone = pod("alone", container("exec sleep 1000"), grace_s=30, hostNetwork=False)
        self.apply(alone)
        wait_for("its Event tells why", lambda: "FailedCreatePodSandBox" in
                 self.reasons("Pod", "alone"))  # fmt: skip
        self.assertIn("network is not ready", self.ctl.ok("describe", "pod/alone"))
        self.assertEqual(self.pod("alone")["status"]["phase"], "Pending")
        self.delete(f"{PODS}/alone")
        self.wait_gone("alone", 25)  # its grace is 30 s

    # ---- a lost node ----

    def test_16_pods_of_a_lost_node_are_replaced(self):
        before = self.wait_web(60)
        used = [self.node_of(p) for p in before.values()]
        lost, other = sorted(self.nodes.values(), key=used.count, reverse=True)
        moved = [name for name, p in before.items() if self.node_of(p) is lost]
        lost.agent.kill()

        def marked():
            node = self.get(f"/api/v1/nodes/{lost.name}")
            taints = {t["key"] for t in node.get("spec", {}).get("taints", [])}
            status = next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
            return status == "Unknown" and "node.kubernetes.io/unreachable" in taints

        wait_for("the node is marked", marked, 60)
        after = self.wait_web(30)
        self.assertEqual({self.node_of(p).name for p in after.values()}, {other.name})
        for name in set(before) - set(moved):
            self.assertEqual(id_of(after[name]), id_of(before[name]), f"{name} was restarted")
        lost.agent.start()

        def back():
            node = self.get(f"/api/v1/nodes/{lost.name}")
            status = next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
            return status == "True" and not node.get("spec", {}).get("taints")

        wait_for("the node is back", back)
        wait_for("what was replaced is stopped", lambda: not lost.tasks(), 30)
        wait_for("only the live replicas answer",
                 lambda: set(self.pages().values()) == set(self.web()))  # fmt: skip


if __name__ == "__main__":
    reason = why_not()
    if reason:
        print(f"skipped: {reason}", flush=True)
        sys.exit(SKIP)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run_tests(__doc__)
