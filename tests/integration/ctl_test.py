"""tuttictl against a real cluster, as people use it: manifests, looking, waiting, deleting, the
cluster itself, identities, and the two ways back after a disaster. kubectl takes turns with it
where it is there."""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import SKIP, Cluster, Server, wait_for  # noqa: E402

AT_ONCE_S = 15  # half the time-out of a request, which is what tries again and again come to
MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: one
  namespace: shop
data:
  a: "1"
  b: "2"
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 1
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: c
        image: busybox
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""
BAD = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: bad
  namespace: default
spec:
  replicas: -1
  wrong: 2
  selector:
    matchLabels: {app: x}
  template:
    metadata:
      labels: {app: x}
    spec:
      containers:
      - image: y
"""


class Ctl:
    """tuttictl with a kubeconfig of its own."""

    def __init__(self, cluster, servers, user="admin"):
        self.program = f"{cluster.build}/tuttictl"
        self.kubeconfig = f"{cluster.dir}/{user}.kubeconfig"
        options = [f"--server=127.0.0.1:{server.api_port}" for server in servers]
        pki = cluster.pki
        done = self.run(
            "kubeconfig", *options, "--ca", f"{pki}/ca.crt", "--cert", f"{pki}/{user}.crt",
            "--key", f"{pki}/{user}.key", "-o", self.kubeconfig,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def run(self, *args, stdin=None, timeout=60):
        environment = dict(os.environ, KUBECONFIG=self.kubeconfig)
        return subprocess.run(
            [self.program, *args], input=stdin, capture_output=True, text=True, timeout=timeout,
            env=environment,
        )  # fmt: skip

    def ok(self, *args, **kwargs):
        done = self.run(*args, **kwargs)
        assert done.returncode == 0, f"{args}: {done.returncode}: {done.stderr}"
        return done.stdout

    def fails(self, code, *args, **kwargs):
        done = self.run(*args, **kwargs)
        assert done.returncode == code, f"{args}: {done.returncode}, not {code}: {done.stderr}"
        return done.stderr

    def json(self, *args):
        return json.loads(self.ok(*args, "-o", "json"))


def check_apply(ctl):
    """Created, unchanged, configured; a field given up goes; others' fields stay."""
    out = ctl.ok("apply", "-f", "-", stdin=MANIFEST)
    assert out.splitlines() == [
        "namespace/shop created", "configmap/one created", "deployment.apps/web created",
    ], out  # fmt: skip
    out = ctl.ok("apply", "-f", "-", stdin=MANIFEST)
    assert [line.split()[1] for line in out.splitlines()] == ["unchanged"] * 3, out
    changed = MANIFEST.replace('  b: "2"\n', '  c: "3"\n')
    out = ctl.ok("apply", "-f", "-", "--dry-run=server", stdin=changed)
    assert "configmap/one configured (server dry run)" in out, out
    assert ctl.json("get", "cm/one", "-n", "shop")["data"] == {"a": "1", "b": "2"}
    out = ctl.ok("apply", "-f", "-", stdin=changed)
    assert "configmap/one configured" in out and "web unchanged" in out, out
    assert ctl.json("get", "cm/one", "-n", "shop")["data"] == {"a": "1", "c": "3"}


def check_kubectl(ctl):
    """kubectl sees nothing to change in what tuttictl applied, and the other way round."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        print("skipped: kubectl is not there", flush=True)
        return
    base = [kubectl, f"--kubeconfig={ctl.kubeconfig}", f"--cache-dir={ctl.kubeconfig}.cache"]
    theirs = MANIFEST.replace('  b: "2"\n', '  d: "4"\n').replace("replicas: 1", "replicas: 2")

    def run(*args, stdin=None):
        return subprocess.run(
            [*base, *args], input=stdin, capture_output=True, text=True, timeout=60
        )

    def apply():
        return run("apply", "-f", "-", stdin=theirs)

    done = apply()
    assert done.returncode == 0, done.stderr
    assert "configmap/one configured" in done.stdout, done.stdout
    out = ctl.ok("apply", "-f", "-", stdin=theirs)
    assert [line.split()[1] for line in out.splitlines()] == ["unchanged"] * 3, out
    out = ctl.ok("apply", "-f", "-", stdin=theirs.replace('d: "4"', 'd: "5"'))
    assert "configmap/one configured" in out, out
    theirs = theirs.replace('d: "4"', 'd: "5"')
    done = apply()
    assert done.returncode == 0 and "configured" not in done.stdout, done.stdout + done.stderr
    check_rollout(ctl, run)


def check_rollout(ctl, kubectl):
    """Revisions are kept: kubectl lists them and goes back to one."""
    path = "{.spec.template.spec.containers[0].image}"
    image = ("get", "deploy/web", "-n", "shop", f"-o=jsonpath={path}")

    def revisions():
        out = kubectl("rollout", "history", "deploy/web", "-n", "shop").stdout
        return [line.split()[0] for line in out.splitlines() if line[:1].isdigit()]

    wait_for("the first revision", lambda: revisions() == ["1"])
    done = kubectl("set", "image", "deploy/web", "c=busybox:2", "-n", "shop")
    assert done.returncode == 0, done.stderr
    wait_for("the second revision", lambda: revisions() == ["1", "2"])
    status = ctl.fails(7, "rollout", "status", "deploy/web", "-n", "shop", "--timeout=1s")
    assert "next: tuttictl describe deployment.apps/web" in status, status
    done = kubectl("rollout", "undo", "deploy/web", "-n", "shop")
    assert done.returncode == 0, done.stderr
    wait_for("the old revision anew", lambda: revisions() == ["2", "3"])
    assert ctl.ok(*image) == "busybox"
    ctl.ok("-n", "shop", "rollout", "undo", "deploy/web")
    wait_for("the other one anew", lambda: revisions() == ["3", "4"])
    assert ctl.ok(*image) == "busybox:2"
    ours = ctl.ok("-n", "shop", "rollout", "history", "deploy/web").splitlines()
    assert [line.split()[0] for line in ours[2:]] == ["3", "4"], ours
    ctl.ok("-n", "shop", "rollout", "undo", "deploy/web", "--to-revision=3")
    wait_for("back again", lambda: revisions() == ["4", "5"])
    ctl.ok("-n", "shop", "scale", "deploy/web", "--replicas=3", "--current-replicas=2")
    ctl.ok("-n", "shop", "scale", "deploy/web", "--replicas=2")


def check_refusals(ctl, directory):
    """Lines of the offending fields, exit codes, and nothing changed."""
    path = f"{directory}/bad.yaml"
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(BAD)
    err = ctl.fails(2, "apply", "-f", path)
    assert f'{path}:8: deployment.apps/bad: unknown field "spec.wrong"' in err, err
    err = ctl.fails(2, "apply", "-f", path, "--validate=ignore")
    assert f"{path}:7: deployment.apps/bad: spec.replicas: " in err, err
    assert f"{path}:16: deployment.apps/bad: spec.template.spec.containers[0].name" in err, err
    err = ctl.fails(2, "apply", "-f", "-", stdin=MANIFEST + "---\nkind: [\n")
    assert "standard input:" in err, err
    ctl.fails(5, "get", "deploy", "bad")
    ctl.fails(5, "get", "nonsense")
    ctl.fails(2, "get", "pods", "-o", "nonsense")
    ctl.fails(2, "nonsense")


def check_looking(ctl):
    """Tables, selectors, names, describe, watch."""
    out = ctl.ok("get", "ns")
    assert out.splitlines()[0].split() == ["NAME", "STATUS", "AGE"], out
    assert ctl.ok("get", "cm,deploy", "-n", "shop", "-o", "name").splitlines() == [
        "configmap/one", "deployment.apps/web",
    ]  # fmt: skip
    assert ctl.json("get", "pods", "-n", "shop", "-l", "app=none")["items"] == []
    pods = wait_for("a pod",
                    lambda: ctl.json("get", "pods", "-n", "shop", "-l", "app=web")["items"])
    assert pods[0]["metadata"]["namespace"] == "shop"
    out = ctl.ok("describe", "deploy/web", "-n", "shop")
    for expected in (r"^Name: +web$", r"^Replicas: +\d desired \| ", r"^NewReplicaSet: +web-\S+ \(",
                     r"^Events:"):  # fmt: skip
        assert re.search(expected, out, re.MULTILINE), (expected, out)
    assert "kind: ConfigMap" in ctl.ok("get", "cm/one", "-n", "shop", "-o", "yaml")
    watch = subprocess.Popen(
        [ctl.program, "get", "cm", "-n", "shop", "-w", "-o", "name"], text=True,
        stdout=subprocess.PIPE, env=dict(os.environ, KUBECONFIG=ctl.kubeconfig),
    )  # fmt: skip
    try:
        assert watch.stdout.readline() == "configmap/one\n"
        ctl.ok("apply", "-f", "-", stdin=MANIFEST.replace("name: one", "name: two"))
        assert watch.stdout.readline() == "configmap/two\n"
    finally:
        watch.kill()
        watch.wait()


def check_waiting(ctl):
    """Waiting sees the change when it happens, and says what is missing when it does not."""
    ctl.ok("wait", "cm/one", "-n", "shop", "--for=jsonpath={.data.a}=1")
    err = ctl.fails(7, "wait", "cm/one", "-n", "shop", "--for=jsonpath={.data.z}", "--timeout=1s")
    assert "is not set" in err, err
    ctl.fails(5, "wait", "cm/none", "--for=condition=Ready")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiter = pool.submit(ctl.ok, "wait", "cm/two", "-n", "shop", "--for=delete")
        ctl.ok("delete", "cm", "two", "-n", "shop")
        assert waiter.result() == "configmap/two deleted\n"
    ctl.ok("delete", "-f", "-", "--timeout", "60", stdin=MANIFEST)
    ctl.fails(5, "get", "ns", "shop")
    ctl.ok("delete", "ns", "shop", "--ignore-not-found")


def check_cluster(ctl, cluster):
    """Status has what scripts rely on; leadership moves."""
    status = ctl.json("cluster", "status")
    assert status["leader"] in cluster.servers and status["revision"] > 0, status
    assert {"name", "id", "role", "state", "lastIndex"} <= set(status["members"][0]), status
    other = next(name for name in cluster.servers if name != status["leader"])
    assert f"{other} leads now" in ctl.ok("cluster", "transfer", other)
    # Each server looks at itself ten times a second, and another one may be asked now.
    wait_for(f"{other} in the status", lambda: ctl.json("cluster", "status")["leader"] == other)
    ctl.ok("cluster", "snapshot")


def check_help(ctl):
    """Every command that is listed has help, and so have the families of commands."""
    names = [line[2:21].strip() for line in ctl.ok("--help").splitlines() if line[:2] == "  "]
    assert {"get", "pki init", "cluster status", "version"} <= set(names), names
    for name in names:
        assert ctl.ok(*name.split(), "--help").startswith("Usage: tuttictl" if name not in (
            "cluster restore", "cluster recover") else "Usage: tuttid"), name
    for name in ("pki", "cluster", "rollout"):
        listed = [line[2:21].strip() for line in ctl.ok(name, "--help").splitlines()]
        mine = [other for other in names if other.startswith(f"{name} ")]
        assert mine and set(mine) <= set(listed), (name, listed)
        assert ctl.ok(name) == ctl.ok(name, "--help")
        assert f'"{name} nonsense"' in ctl.fails(2, name, "nonsense")
    ctl.fails(2, "pk")


def check_removal(ctl, cluster):
    """A leader is removed by one command at once, though it cannot hear the answer itself."""
    leader = ctl.json("cluster", "status")["leader"]
    began = time.monotonic()
    assert f"{leader} is no member any more" in ctl.ok("cluster", "remove", leader)
    assert time.monotonic() - began < AT_ONCE_S

    def shown():
        status = ctl.json("cluster", "status")
        names = [member["name"] for member in status["members"]]
        return leader not in names and status["leader"] in names

    wait_for(f"a status of two without {leader}", shown)  # as above
    # Back again, as anew: what follows wants all three.
    server = cluster.servers[leader]
    server.stop()
    shutil.rmtree(server.data_dir)
    ctl.ok("cluster", "add", leader, "--peer-address", server.peer_address)
    others = [s for name, s in cluster.servers.items() if name != leader]
    server.membership = ["--join", f"https://127.0.0.1:{others[0].api_port}"]
    server.start()
    ctl.ok("cluster", "promote", leader)
    server.wait_ready()


def check_identities(ctl, cluster):
    """A token works once, for its name; a revoked certificate opens nothing."""
    out = f"{cluster.dir}/joined"
    url = f"https://127.0.0.1:{cluster.first[0].api_port}"
    token = ctl.ok("pki", "token", "agent", "--name", "n1")
    ctl.fails(4, "pki", "join", "-s", url, "--name", "n2", "--out", out, stdin=token)
    ctl.ok("pki", "join", "-s", url, "--name", "n1", "--out", out, stdin=token)
    ctl.fails(4, "pki", "join", "-s", url, "--name", "n1", "--out", out, stdin=token)
    assert sorted(os.listdir(out)) == ["ca.crt", "n1.crt", "n1.key"]
    cluster.issue("user", "mallory", "--groups", "tutti:admins")
    mallory = Ctl(cluster, cluster.first, "mallory")
    pair = ["--cert", f"{cluster.pki}/mallory.crt", "--key", f"{cluster.pki}/mallory.key"]
    mallory.ok("pki", "renew", *pair)
    mallory.ok("get", "ns")
    ctl.ok("pki", "revoke", f"{cluster.pki}/mallory.crt")
    quick = ["get", "ns"]
    wait_for("mallory is out", lambda: mallory.run(*quick).returncode == 4, 10, 0.2)
    check_refusal(mallory, quick)
    # A new certificate of hers would count: by her name, it does not.
    cluster.issue("user", "mallory", "--groups", "tutti:admins")
    mallory.ok(*quick)
    assert "spiffe://tutti-test/user/mallory" in ctl.ok(
        "pki", "revoke", f"{cluster.pki}/mallory.crt")
    ctl.ok("pki", "revoke", "user/mallory")
    wait_for("mallory is out again", lambda: mallory.run(*quick).returncode == 4, 10, 0.2)
    ctl.fails(2, "pki", "revoke", "mallory/user")
    # So would one that another authority gave her.
    cluster.ctl("pki", "init", "--dir", f"{cluster.dir}/foreign", "--cluster", "tutti-test")
    cluster.issue("user", "mallory", "--groups", "tutti:admins", pki=f"{cluster.dir}/foreign")
    for end in ("crt", "key"):
        shutil.copy(f"{cluster.dir}/foreign/mallory.{end}", f"{cluster.pki}/mallory.{end}")
    check_refusal(mallory, quick)


def check_refusal(ctl, words):
    """Refused credentials end a command at once, with what happened and the next step."""
    began = time.monotonic()
    done = ctl.run(*words)
    assert time.monotonic() - began < AT_ONCE_S, done.stderr
    assert done.returncode == 4, done.stderr
    for text in ("does not accept these credentials", "alert", "tuttictl pki"):
        assert text in done.stderr, done.stderr


def check_restore(ctl, cluster):
    """A backup is verified, damage is seen, and a new cluster begins from it."""
    path = f"{cluster.dir}/backup"
    ctl.ok("apply", "-f", "-", stdin=MANIFEST)
    written = ctl.ok("cluster", "backup", path)
    verified = ctl.ok("cluster", "verify", path)
    assert verified.count("revision") == 1 and "complete and undamaged" in verified, verified
    assert verified.split("; ")[1] == written.split("; ")[1], (written, verified)
    with open(path, "rb") as handle:
        whole = handle.read()
    flipped = whole[:900] + bytes([whole[900] ^ 1]) + whole[901:]
    for name, damaged in (("cut", whole[:-200]), ("flipped", flipped)):
        with open(f"{path}.{name}", "wb") as handle:
            handle.write(damaged)
        ctl.fails(9, "cluster", "verify", f"{path}.{name}")
    old = ctl.json("cluster", "status")["clusterId"]
    server = Server(cluster, "s1", f"{cluster.dir}/restored")
    options = ["--from", path, "--data-dir", server.data_dir, "--name", "s1", "--peer-address",
               server.peer_address]  # fmt: skip
    ctl.ok("cluster", "restore", *options)
    ctl.fails(6, "cluster", "restore", *options)
    server.start(wait=True)
    try:
        restored = Ctl(cluster, [server])
        assert restored.json("cluster", "status")["clusterId"] != old
        assert restored.json("get", "cm/one", "-n", "shop")["data"] == {"a": "1", "b": "2"}
        out = restored.ok("apply", "-f", "-", stdin=MANIFEST)
        assert "created" not in out, out
    finally:
        server.kill()


def check_recover(cluster):
    """All but one server are lost for good: the one goes on with everything acknowledged, and the
    old ones, should they come back, are no part of it."""
    survivor, lost = cluster.first[0], cluster.first[1:]
    ctl = Ctl(cluster, cluster.first)
    ctl.ok("apply", "-f", "-", stdin=MANIFEST.replace('b: "2"', 'b: "last"'))
    for server in cluster.first:
        server.kill()
    program = f"{cluster.build}/tuttid"
    base = [program, "recover", "--data-dir"]
    furthest = {}
    for server in cluster.first:
        done = subprocess.run(
            [*base, server.data_dir, "--show"], capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
        words = done.stdout.splitlines()[0].replace(",", "").split()
        furthest[server.name] = (int(words[-4]), int(words[-1]))
    survivor = cluster.servers[max(furthest, key=furthest.get)]
    lost = [server for server in cluster.first if server is not survivor]
    ctl.ok("cluster", "recover", "--data-dir", survivor.data_dir)
    survivor.start(wait=True)
    alone = Ctl(cluster, [survivor])
    wait_for("a leader", lambda: alone.json("cluster", "status")["leader"] == survivor.name)
    assert len(alone.json("cluster", "status")["members"]) == 1
    began = time.monotonic()
    assert "the last voter" in alone.fails(6, "cluster", "remove", survivor.name)
    assert "the only voter" in alone.fails(6, "cluster", "transfer")
    assert time.monotonic() - began < AT_ONCE_S
    assert alone.json("get", "cm/one", "-n", "shop")["data"]["b"] == "last"
    lost[0].start()
    lost[1].start()
    alone.ok("apply", "-f", "-", stdin=MANIFEST)
    assert len(alone.json("cluster", "status")["members"]) == 1
    for server in lost:
        server.kill()
    # One of them again, as a new member with an empty directory.
    back = lost[0]
    shutil.rmtree(back.data_dir)
    back.membership = ["--join", f"https://127.0.0.1:{survivor.api_port}"]
    alone.ok("cluster", "add", back.name, "--peer-address", back.peer_address)
    back.start()
    alone.ok("cluster", "promote", back.name, "--timeout", "50")
    voters = [m["name"] for m in alone.json("cluster", "status")["members"] if m["role"] == "voter"]
    assert sorted(voters) == sorted([survivor.name, back.name]), voters


def main():
    if shutil.which("setpriv") is None:
        print("skipped: setpriv is not there")
        return SKIP
    with Cluster() as cluster:
        ctl = Ctl(cluster, cluster.first)
        for name, check in (
            ("help", lambda: check_help(ctl)),
            ("apply", lambda: check_apply(ctl)),
            ("kubectl", lambda: check_kubectl(ctl)),
            ("refusals", lambda: check_refusals(ctl, cluster.dir)),
            ("looking", lambda: check_looking(ctl)),
            ("waiting", lambda: check_waiting(ctl)),
            ("cluster", lambda: check_cluster(ctl, cluster)),
            ("removal", lambda: check_removal(ctl, cluster)),
            ("identities", lambda: check_identities(ctl, cluster)),
            ("restore", lambda: check_restore(ctl, cluster)),
            ("recover", lambda: check_recover(cluster)),
        ):
            began = time.monotonic()
            check()
            print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
