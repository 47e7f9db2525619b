#!/usr/bin/env python3
"""An unmodified kubectl against the API: what it prints, sends and makes of refusals.

Usage: kubectl_test.py [--server PATH-OF-api_testd] [unittest arguments]
Without --server it runs against the cluster of $KUBECONFIG, in a namespace of its own; what only
reconcilers do (a Namespace that really goes) is then checked as well. Needs kubectl >= 1.27.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from api_server import Server

SERVER = None  # path of api_testd; None: the cluster of $KUBECONFIG
NAMESPACE = f"kubectl-test-{os.getpid()}"
TIMEOUT_S = 60

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {tier: front}}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: %s
        ports: [{containerPort: 8080}]
"""


def setUpModule():
    module = sys.modules[__name__]
    module.scratch = tempfile.mkdtemp(prefix="tutti-kubectl-")
    if SERVER:
        module.server = Server(SERVER).__enter__()
        module.kubeconfig = module.server.path("admin.kubeconfig")
    else:
        module.server = None
        module.kubeconfig = os.environ["KUBECONFIG"]
    run("create", "namespace", NAMESPACE)


def tearDownModule():
    if SERVER:
        code = server.stop()
        log = server.log()
        server.__exit__()
        assert code == 0, f"api_testd ended with {code}: {log}"
    else:
        run("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=60s")
    shutil.rmtree(scratch, ignore_errors=True)


def kubectl(*args, stdin=None, namespace=NAMESPACE):
    """The completed process; output as text."""
    command = ["kubectl", "--kubeconfig", kubeconfig, "--cache-dir", os.path.join(scratch, "cache")]
    if namespace:
        command += ["--namespace", namespace]
    return subprocess.run(
        command + list(args), input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S
    )


def open_watches():
    """Watches that are open on the server, by its own count."""
    text = run("get", "--raw", "/metrics", namespace=None)
    return int(re.search(r"^tutti_api_watches (\d+)", text, re.M).group(1))


def settled_watches():
    """The same when those of earlier commands, which have ended, are seen to have ended."""
    deadline = time.monotonic() + TIMEOUT_S
    while (count := open_watches()) > 0 and SERVER:  # of a whole cluster some go on
        if time.monotonic() > deadline:
            raise AssertionError(f"{count} watches stay open")
    return count


def wait_for_one_more_watch(low):
    """Until a watch was opened since `low` were counted; others may end meanwhile."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        now = open_watches()
        if now > low:
            return
        low = now
        if time.monotonic() > deadline:
            raise AssertionError("no further watch was opened")


def run(*args, **kwargs):
    """Output of a command that must succeed."""
    done = kubectl(*args, **kwargs)
    if done.returncode != 0:
        raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr}{done.stdout}")
    return done.stdout


class KubectlTest(unittest.TestCase):
    def fails(self, expected, *args, **kwargs):
        done = kubectl(*args, **kwargs)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stderr, expected)

    def apply(self, text):
        return run("apply", "-f", "-", stdin=text)


class Objects(KubectlTest):
    def test_apply_creates_changes_and_leaves_alone(self):
        self.assertIn("created", self.apply(DEPLOYMENT % (0, "busybox:1")))
        self.assertIn("unchanged", self.apply(DEPLOYMENT % (0, "busybox:1")))
        self.assertIn("configured", self.apply(DEPLOYMENT % (0, "busybox:2")))
        image = "{.spec.template.spec.containers[0].image}"
        self.assertEqual(run("get", "deploy", "web", "-o", "jsonpath=" + image), "busybox:2")
        self.assertRegex(run("get", "deploy"), r"web\s+0/0\s+")
        self.assertIn("image updated", run("set", "image", "deploy/web", "web=busybox:3"))
        self.assertIn("restarted", run("rollout", "restart", "deploy/web"))
        self.assertIn("paused", run("rollout", "pause", "deploy/web"))
        self.assertIn("resumed", run("rollout", "resume", "deploy/web"))
        diff = kubectl("diff", "-f", "-", stdin=DEPLOYMENT % (0, "busybox:9"))
        self.assertEqual(diff.returncode, 1, diff.stderr)
        self.assertIn("+      - image: busybox:9", diff.stdout)
        self.assertRegex(run("describe", "deploy", "web"), r"Replicas:\s+0 desired")
        self.assertIn("deleted", run("delete", "deploy", "web"))

    def test_scale_reads_and_writes_replicas(self):
        run("create", "deployment", "scaled", "--image=x", "--replicas=0")
        self.fails("Expected replicas to be 3", "scale", "deploy/scaled", "--current-replicas=3",
                   "--replicas=1")  # fmt: skip
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/scaled/scale"
        scale = json.loads(run("get", "--raw", path))
        self.assertEqual((scale["kind"], scale["spec"]["replicas"]), ("Scale", 0))
        self.assertEqual(scale["status"]["selector"], "app=scaled")
        done = run("scale", "deploy/scaled", "--current-replicas=0", "--replicas=1")
        self.assertIn("scaled", done)
        replicas = ("get", "deploy", "scaled", "-o", "jsonpath={.spec.replicas}")
        self.assertEqual(run(*replicas), "1")
        self.assertIn("scaled", run("scale", "deploy/scaled", "--replicas=0"))
        self.assertEqual(run(*replicas), "0")

    def test_create_by_command(self):
        self.assertIn("created", run("create", "configmap", "c1", "--from-literal=a=1"))
        self.assertIn("created", run("create", "secret", "generic", "s1", "--from-literal=p=q"))
        self.assertEqual(run("get", "secret", "s1", "-o", "jsonpath={.data.p}"), "cQ==")
        self.assertIn("created", run("create", "serviceaccount", "sa1"))
        self.assertIn("created", run("create", "deployment", "d1", "--image=x", "--replicas=0"))
        self.assertIn("created", run("create", "service", "clusterip", "v1", "--tcp=80:8080"))

    def test_label_annotate_patch_edit(self):
        run("create", "configmap", "c2", "--from-literal=a=1")
        self.assertIn("labeled", run("label", "cm", "c2", "tier=a"))
        self.fails("already has a value", "label", "cm", "c2", "tier=b")
        self.assertIn("annotated", run("annotate", "cm", "c2", "note=b"))
        for kind, patch in (
            ("merge", '{"data":{"b":"2"}}'),
            ("strategic", '{"data":{"c":"3"}}'),
            ("json", '[{"op":"add","path":"/data/d","value":"4"}]'),
        ):
            self.assertIn("patched", run("patch", "cm", "c2", "--type", kind, "-p", patch))
        data = json.loads(run("get", "cm", "c2", "-o", "json"))["data"]
        self.assertEqual(data, {"a": "1", "b": "2", "c": "3", "d": "4"})
        self.assertEqual(run("get", "cm", "-l", "tier=a", "-o", "name"), "configmap/c2\n")

    def test_replace_needs_the_present_revision(self):
        run("create", "configmap", "c3", "--from-literal=a=1")
        old = run("get", "cm", "c3", "-o", "json")
        run("patch", "cm", "c3", "--type=merge", "-p", '{"data":{"a":"2"}}')
        self.fails("object has been modified", "replace", "-f", "-", stdin=old)
        fresh = run("get", "cm", "c3", "-o", "json")
        self.assertIn("replaced", run("replace", "-f", "-", stdin=fresh))

    def test_dry_run_stores_nothing(self):
        run("create", "configmap", "dry", "--dry-run=server")
        self.fails("NotFound", "get", "cm", "dry")

    def test_paging_sorting_and_output_forms(self):
        items = [
            {"apiVersion": "v1", "kind": "ConfigMap",
             "metadata": {"name": f"p{i:02}", "labels": {"set": "page"}}}
            for i in range(12)
        ]  # fmt: skip
        body = {"apiVersion": "v1", "kind": "List", "items": items}
        run("create", "-f", "-", stdin=json.dumps(body))
        names = run("get", "cm", "-l", "set=page", "--chunk-size=5", "-o", "name").split()
        self.assertEqual(names, [f"configmap/p{i:02}" for i in range(12)])
        table = run("get", "cm", "-l", "set=page", "--sort-by=.metadata.name", "--no-headers")
        self.assertEqual(len(table.splitlines()), 12)
        self.assertIn("NAMESPACE", run("get", "cm", "-A", "-l", "set=page"))
        wide = run("get", "cm", "-l", "set=page", "-o", "custom-columns=N:.metadata.name")
        self.assertEqual(len(wide.splitlines()), 13)
        self.assertEqual(len(run("delete", "cm", "-l", "set=page").splitlines()), 12)

    def test_delete_waits_for_finalizers(self):
        body = {"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "held", "finalizers": ["example.com/x"]}}  # fmt: skip
        run("create", "-f", "-", stdin=json.dumps(body))
        self.fails("timed out", "delete", "cm", "held", "--timeout=1s")
        run("patch", "cm", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        self.fails("NotFound", "get", "cm", "held")

    def test_wait_for_condition_sees_the_change(self):
        run("create", "configmap", "waited", "--from-literal=a=1")
        before = settled_watches()
        waiting = subprocess.Popen(
            ["kubectl", "--kubeconfig", kubeconfig, "--cache-dir", os.path.join(scratch, "cache"),
             "-n", NAMESPACE, "wait", "cm/waited",
             "--for=jsonpath={.data.a}=2", "--timeout=20s"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for_one_more_watch(before)  # kubectl has looked once and watches now
        run("patch", "cm", "waited", "--type=merge", "-p", '{"data":{"a":"2"}}')
        out, _ = waiting.communicate(timeout=30)
        self.assertIn("condition met", out)

    def test_watch_prints_changes(self):
        run("create", "configmap", "watched", "--from-literal=a=1")
        watching = subprocess.Popen(
            ["kubectl", "--kubeconfig", kubeconfig, "--cache-dir", os.path.join(scratch, "cache"),
             "-n", NAMESPACE, "get", "cm", "watched",
             "-w", "-o", "jsonpath={.data.a}{'\\n'}"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            self.assertEqual(watching.stdout.readline(), "1\n")
            for i in ("2", "3"):
                run("patch", "cm", "watched", "--type=merge", "-p", json.dumps({"data": {"a": i}}))
                self.assertEqual(watching.stdout.readline(), i + "\n")
        finally:
            watching.kill()
            watching.communicate()


class Refusals(KubectlTest):
    def test_not_found_and_exists(self):
        self.fails(r'\(NotFound\): configmaps "nope" not found', "get", "cm", "nope")
        run("create", "configmap", "dup")
        self.fails(r'configmaps "dup" already exists', "create", "configmap", "dup")
        self.fails("the server doesn't have a resource type", "get", "gizmos")

    def test_unknown_fields_are_strict_by_default(self):
        body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\nfoo: 1\n"
        self.fails('unknown field "foo"', "create", "-f", "-", stdin=body)
        done = kubectl("create", "-f", "-", "--validate=warn", stdin=body)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('Warning: unknown field "foo"', done.stderr)

    def test_invalid_objects_list_their_causes(self):
        bad = DEPLOYMENT.replace("web}}\n  template", "other}}\n  template") % (1, "x")
        self.fails(r"(?s)is invalid.*spec.template.metadata.labels", "create", "-f", "-", stdin=bad)
        self.fails("is invalid", "create", "configmap", "Not-Valid")

    def test_missing_namespace(self):
        words = 'namespaces "nowhere" not found'
        self.fails(words, "create", "configmap", "x", namespace="nowhere")

    def test_default_namespace_stays(self):
        self.fails("may not be deleted", "delete", "namespace", "default")

    def test_server_side_apply_is_refused_cleanly(self):
        done = kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT % (0, "x"))
        if done.returncode != 0:
            self.assertRegex(done.stderr, "UnsupportedMediaType|media type|unknown format")


    def test_what_is_not_served_is_named(self):
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "quiet"},
                "spec": {"containers": [{"name": "c", "image": "x"}]}}  # fmt: skip
        run("create", "-f", "-", stdin=json.dumps(body))
        self.fails("does not serve pods/exec", "exec", "quiet", "--", "ls")
        self.fails("does not serve pods/attach", "attach", "quiet")
        self.fails("accepted media types", "diff", "--server-side", "-f", "-",
                   stdin=DEPLOYMENT % (0, "x"))  # fmt: skip
        run("delete", "pod", "quiet", "--now", "--wait=false")


class Discovery(KubectlTest):
    def test_version_resources_and_explain(self):
        self.assertRegex(run("version"), r"Server Version: v1\.32")
        resources = run("api-resources")
        for kind in ("ConfigMap", "Secret", "Pod", "Deployment", "ReplicaSet", "Lease", "Event"):
            self.assertRegex(resources, rf"\b{kind}\b")
        self.assertIn("apps/v1", run("api-versions"))
        self.assertRegex(run("explain", "deployment.spec.replicas"), r"FIELD: replicas <integer>")
        self.assertIn("containers", run("explain", "pod.spec"))
        described = run("explain", "pod.spec.volumes.nfs.server")
        self.assertIn("Name or address of the NFS server.", described)
        self.assertIn("deployments.apps\n", run("api-resources", "--verbs=list", "-o", "name"))
        self.assertIn("No resources found", kubectl("get", "all", "-l", "none=none").stderr)

    def test_auth(self):
        self.assertEqual(run("auth", "can-i", "create", "pods").strip(), "yes")
        self.assertRegex(run("auth", "whoami"), r"Username\s+\S+")
        self.assertIn("*.*", run("auth", "can-i", "--list"))

    def test_health(self):
        self.assertEqual(run("get", "--raw", "/livez"), "ok")
        self.assertTrue(run("get", "--raw", "/readyz").endswith("ok"))
        self.assertTrue(re.search(r"tutti_store_revision \d+", run("get", "--raw", "/metrics")))


class Namespaces(KubectlTest):
    def test_a_deleted_namespace_takes_nothing_new(self):
        name = NAMESPACE + "-gone"
        run("create", "namespace", name)
        run("create", "configmap", "inside", namespace=name)
        run("delete", "namespace", name, "--wait=false")
        done = kubectl("create", "configmap", "late", namespace=name)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, "being terminated|not found")
        if not SERVER:
            run("wait", "--for=delete", "namespace/" + name, "--timeout=30s", namespace=None)


def main():
    global SERVER
    if len(sys.argv) > 2 and sys.argv[1] == "--server":
        SERVER = sys.argv[2]
        del sys.argv[1:3]
    elif "KUBECONFIG" not in os.environ:
        sys.exit(__doc__)
    if not shutil.which("kubectl"):
        print("SKIPPED: kubectl is not on PATH", file=sys.stderr)
        sys.exit(77)
    unittest.main()


if __name__ == "__main__":
    main()
