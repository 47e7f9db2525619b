#!/usr/bin/env python3
"""tuttictl against one API server whose node n1 seems to have an agent: logs of many kinds, options
before the command, templates, sizes and roll-outs.

Usage: ctl_api_test.py --server PATH-OF-api_testd [unittest arguments]
"""
import json
import os
import subprocess
import sys
import unittest

from api_server import Server
from cluster import programs

SERVER = None
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = {"Content-Type": "application/merge-patch+json"}


def setUpModule():
    module = sys.modules[__name__]
    module.server = Server(SERVER).__enter__()
    make("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    merge("/api/v1/nodes/n1/status", {"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": server.agent_port}},
    }})  # fmt: skip
    make_pod("web-1", {"app": "web"}, ["c"])
    make_pod("web-2", {"app": "web"}, ["c", "side"])
    make_pod("missing", {"app": "broken"}, ["c"])
    merge(f"{PODS}/web-2/status", {"status": {"phase": "Running"}})
    template = {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "x"}]}}  # fmt: skip
    make(DEPLOYMENTS, {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    })  # fmt: skip


    expressions = [
        {"key": "app", "operator": "In", "values": ["web", "other"]},
        {"key": "app", "operator": "NotIn", "values": ["other"]},
        {"key": "app", "operator": "Exists"},
        {"key": "none", "operator": "DoesNotExist"},
    ]
    make("/apis/apps/v1/namespaces/default/replicasets", {
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "expr"},
        "spec": {"replicas": 0, "selector": {"matchExpressions": expressions},
                 "template": template},
    })  # fmt: skip
    make("/api/v1/namespaces/default/services", {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    })  # fmt: skip


def tearDownModule():
    server.__exit__()


def make(path, body):
    answer = server.call("POST", path, body)
    assert answer.code in (200, 201), answer.text


def merge(path, body):
    answer = server.call("PATCH", path, json.dumps(body), headers=MERGE)
    assert answer.code == 200, answer.text


def make_pod(name, labels, containers):
    make(PODS, {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": c, "image": "x"} for c in containers]},
    })  # fmt: skip
    make(f"{PODS}/{name}/binding", {"target": {"kind": "Node", "name": "n1"}})


class CtlTest(unittest.TestCase):
    def run_ctl(self, *args, before=()):
        return subprocess.run(
            [f"{programs()}/tuttictl", *before, *args], capture_output=True, text=True, timeout=120,
            env=dict(os.environ, KUBECONFIG=server.path("admin.kubeconfig")),
        )  # fmt: skip

    def ok(self, *args, **kwargs):
        done = self.run_ctl(*args, **kwargs)
        self.assertEqual(done.returncode, 0, f"{args}: {done.stderr}")
        return done.stdout

    def fails(self, code, expected, *args, **kwargs):
        done = self.run_ctl(*args, **kwargs)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        self.assertRegex(done.stderr, expected)
        return done.stdout


class Logs(CtlTest):
    def test_of_one_pod(self):
        out = self.ok("logs", "web-1", "--tail", "3", "--since=90s", "--timestamps")
        self.assertIn("/containerLogs/default/web-1/c?", out)
        for part in ("tailLines=3", "sinceSeconds=90", "timestamps=true", "follow=false"):
            self.assertIn(part, out)
        self.assertIn("previous=true", self.ok("logs", "pod/web-1", "-p"))

    def test_containers_are_chosen_or_named(self):
        done = self.run_ctl("logs", "web-2")
        self.assertIn("/web-2/c?", done.stdout)
        self.assertIn("showing container c of: c side", done.stderr)
        self.assertIn("/web-2/side?", self.ok("logs", "web-2", "-c", "side"))
        self.assertIn("/web-2/side?", self.ok("logs", "web-2", "side"))
        lines = self.ok("logs", "web-2", "--all-containers", "--prefix").splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["[pod/web-2/c]", "[pod/web-2/side]"])
        self.fails(2, "not valid for pod", "logs", "web-2", "-c", "none")

    def test_of_a_workload(self):
        done = self.run_ctl("logs", "deployment/web", "-c", "c")
        self.assertEqual(len(done.stdout.splitlines()), 1)
        self.assertIn("/web-2/c?", done.stdout)  # the one that runs
        self.assertIn("showing pod/web-2 of the 2 of deployment.apps/web", done.stderr)
        for owner in ("deploy/web", "svc/web", "rs/expr"):
            self.assertEqual(len(self.ok("logs", owner, "--all-pods").splitlines()), 2, owner)

    def test_of_all_with_a_label(self):
        out = self.ok("logs", "-l", "app=web", "--all-containers", "--prefix", "-f")
        self.assertEqual(
            sorted(line.split()[0] for line in out.splitlines()),
            ["[pod/web-1/c]", "[pod/web-2/c]", "[pod/web-2/side]"],
        )
        self.assertIn("tailLines=10", self.ok("logs", "-l", "app=web"))
        self.fails(2, "3 logs to follow, but at most 2", "logs", "-l", "app=web", "-f",
                   "--all-containers", "--max-log-requests", "2")  # fmt: skip

    def test_one_failure_does_not_hide_the_others(self):
        told = "(?s)pod/missing, container c: .*no such container.*1 of 3 logs not shown"
        out = self.fails(5, told, "logs", "-l", "app in (web,broken)")
        self.assertEqual(len(out.splitlines()), 2)
        self.fails(5, "^tuttictl logs: no such container$", "logs", "missing")

    def test_what_is_not_there_is_told(self):
        self.fails(5, 'pods "nope" not found', "logs", "nope")
        self.fails(5, "no pods with app=none", "logs", "-l", "app=none")
        self.fails(2, "say whose", "logs")
        self.fails(2, "node/n1 selects no pods", "logs", "node/n1")
        self.fails(2, "--since=soon", "logs", "web-1", "--since", "soon")


class Words(CtlTest):
    def test_options_of_the_connection_stand_before_or_behind(self):
        everything = ("-n", "kube-system", "--request-timeout=9")
        self.assertEqual(self.ok("get", "pods", "-o", "name", before=everything), "")
        self.assertIn("pod/web-1", self.ok("get", "pods", "-o=name", before=("-ndefault",)))
        behind = ("--kubeconfig", server.path("admin.kubeconfig"), "--context", "none")
        self.fails(5, "none", "get", "pods", before=behind)
        self.fails(2, 'unknown option "-o" before the command', "name", before=("-o",))
        self.fails(2, "no command behind", before=("-n", "x"))

    def test_templates(self):
        self.assertEqual(
            self.ok("get", "pods", "-l", "app=web", "-o",
                    'jsonpath={range .items[*]}{.metadata.name}={.spec.containers[*].name}{"\\n"}'
                    "{end}"),
            "web-1=c\nweb-2=c side\n",
        )  # fmt: skip
        self.assertEqual(self.ok("get", "pod", "web-1", "-o=jsonpath={.metadata.labels}"),
                         '{"app":"web"}')  # fmt: skip
        self.assertEqual(self.ok("get", "pod", "web-1", "-o=jsonpath=<{.none.such}>"), "<>")
        self.fails(2, "are understood", "get", "pods", "-o", "jsonpath={.items[?(@.x)]}")


class Describe(CtlTest):
    def described(self, *args, lines=()):
        out = self.ok("describe", *args)
        for line in lines:
            self.assertRegex(out, f"(?m)^ *{line}")

    def test_what_belongs_on_a_page_is_read_beside_the_object(self):
        self.described("deploy/web", lines=(
            r"Replicas: +2 desired \|", r"Image: +x$", r"NewReplicaSet: +<none>$", r"Events: ",
        ))  # fmt: skip
        self.described("rs/expr", lines=(r"Pods Status: +0 Running / 0 Waiting",))
        self.described("node/n1", lines=(
            r"InternalIP: +127.0.0.1$", r"Non-terminated Pods \(\d+\):$", r"default +web-1 +0 ",
        ))  # fmt: skip
        self.described("pod/web-2", lines=(r"Node: +n1$", r"Status: +Running$", r"side:$"))

    def test_other_kinds_show_their_fields(self):
        self.described("svc/web", lines=(r"Kind: +Service$", r"Spec:$", r"- port: 80$"))
        self.fails(5, "not found", "describe", "pod/none")


class Wait(CtlTest):
    def test_no_value_is_taken_for_absence(self):
        make("/api/v1/namespaces/default/configmaps", {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odd"},
            "data": {"k": "not there"},
        })  # fmt: skip
        out = self.ok("wait", "configmap/odd", "--for=jsonpath={.data.k}=not there")
        self.assertEqual(out, "configmap/odd condition met\n")
        self.fails(5, "configmap/none is not there", "wait", "configmap/none",
                   "--for=jsonpath={.data.k}")  # fmt: skip


class Delete(CtlTest):
    def test_more_than_one_round_goes(self):
        path = "/api/v1/namespaces/many/configmaps"
        make("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace",
                                    "metadata": {"name": "many"}})  # fmt: skip
        connection = server.connect()
        for i in range(10001):  # ROUND_MAX of tuttictl and one more
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{i}"}}
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            self.assertEqual(response.status, 201, response.read())
            response.read()
        connection.close()
        out = self.ok("delete", "configmaps", "--all", "-n", "many", "--wait=false", "-o", "name")
        self.assertEqual(len(set(out.splitlines())), 10001)
        self.assertEqual(server.call("GET", path).json["items"], [])


class Prune(CtlTest):
    """What is in no manifest any more goes, and nothing else does."""

    CONFIGMAPS = "/api/v1/namespaces/default/configmaps"

    def manifest(self, *names, labels=None, kind="ConfigMap"):
        items = [{"apiVersion": "v1", "kind": kind,
                  "metadata": {"name": name, "labels": labels or {"set": "p"}}}
                 for name in names]  # fmt: skip
        path = os.path.join(server.dir, "prune.json")
        with open(path, "w", encoding="utf-8") as handle:
            json.dump({"apiVersion": "v1", "kind": "List", "items": items}, handle)
        return path

    def names(self):
        items = server.call("GET", self.CONFIGMAPS).json["items"]
        return {item["metadata"]["name"] for item in items}

    def test_of_what_was_applied_only_what_is_in_no_manifest_goes(self):
        apply = ("apply", "--prune", "-l", "set=p", "-f")
        self.ok("apply", "-f", self.manifest("other", labels={"set": "q"}))
        by_hand = {"apiVersion": "v1", "kind": "ConfigMap",
                   "metadata": {"name": "by-hand", "labels": {"set": "p"}}}  # fmt: skip
        make(self.CONFIGMAPS, by_hand)
        self.ok("apply", "-f", self.manifest("account", kind="ServiceAccount"))
        out = self.ok(*apply, self.manifest("a", "b", "c"))
        self.assertEqual(out.splitlines()[:3], [f"configmap/{n} created" for n in "abc"])
        self.assertEqual(out.splitlines()[3:], ["serviceaccount/account pruned"])
        fewer = self.manifest("b")
        for mode in ("client", "server"):
            out = self.ok(*apply, fewer, f"--dry-run={mode}")
            self.assertIn(f"configmap/a pruned ({mode} dry run)\n", out)
        self.assertLessEqual({"a", "b", "c", "other", "by-hand"}, self.names())
        out = self.ok(*apply, fewer)
        self.assertEqual(sorted(out.splitlines()[1:]), ["configmap/a pruned", "configmap/c pruned"])
        self.assertEqual(self.names() & {"a", "b", "c", "other", "by-hand"},
                         {"b", "other", "by-hand"})  # fmt: skip
        self.assertEqual(self.ok(*apply, fewer), "configmap/b unchanged\n")
        done = self.run_ctl(*apply, self.manifest("d"), "-o", "json")
        self.assertEqual(json.loads(done.stdout)["metadata"]["name"], "d")
        self.assertEqual(done.stderr, "configmap/b pruned\n")

    def test_a_failure_prunes_nothing(self):
        apply = ("apply", "--prune", "-l", "set=r", "-f")
        labels = {"set": "r"}
        self.ok(*apply, self.manifest("kept", labels=labels))
        bad = self.manifest("Not_A_Name", "new", labels=labels)
        self.fails(2, "1 of 2 objects not applied, nothing pruned", *apply, bad)
        self.assertLessEqual({"kept", "new"}, self.names())

    def test_labels_are_needed_and_must_select_the_manifests(self):
        path = self.manifest("never")
        self.fails(2, "go together", "apply", "--prune", "-f", path)
        self.fails(2, "go together", "apply", "-l", "set=p", "-f", path)
        self.fails(2, "select something", "apply", "--prune", "-l", "", "-f", path)
        self.fails(2, "unable to parse", "apply", "--prune", "-l", "a in b", "-f", path)
        self.fails(2, "prune.json:1: its labels do not match -l set=x", "apply", "--prune",
                   "-l", "set=x", "-f", path)  # fmt: skip
        self.assertNotIn("never", self.names())


class Rollouts(CtlTest):
    def test_scale(self):
        self.assertEqual(self.ok("scale", "deploy/web", "--replicas=3", "--current-replicas=2"),
                         "deployment.apps/web scaled\n")  # fmt: skip
        self.fails(6, "has 3 replicas, not 2", "scale", "deploy/web", "--replicas=1",
                   "--current-replicas=2")  # fmt: skip
        self.ok("scale", "deploy", "web", "--replicas", "2")
        replicas = ("get", "deploy/web", "-o=jsonpath={.spec.replicas}")
        self.assertEqual(self.ok(*replicas), "2")
        self.fails(2, "--replicas COUNT is needed", "scale", "deploy/web")
        self.fails(2, "cannot be scaled", "scale", "pod/web-1", "--replicas=1")
        self.fails(5, "not found", "scale", "deploy/none", "--replicas=1")

    def test_status_and_restart(self):
        self.ok("rollout", "restart", "deploy/web")
        deployment = server.call("GET", f"{DEPLOYMENTS}/web").json
        annotations = deployment["spec"]["template"]["metadata"]["annotations"]
        self.assertIn("kubectl.kubernetes.io/restartedAt", annotations)
        merge(f"{DEPLOYMENTS}/web/status", {"status": {"observedGeneration": 1}})
        self.assertIn("has not been seen", self.ok("rollout", "status", "deploy/web", "-w=false"))
        status = {"observedGeneration": deployment["metadata"]["generation"], "replicas": 3,
                  "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 3}  # fmt: skip
        merge(f"{DEPLOYMENTS}/web/status", {"status": status})
        self.fails(7, "1 of 2 pods are of the new template", "rollout", "status", "deploy/web",
                   "--timeout=1s")  # fmt: skip
        watching = subprocess.Popen(
            [f"{programs()}/tuttictl", "rollout", "status", "deploy/web", "--timeout=20s"],
            stdout=subprocess.PIPE, text=True,
            env=dict(os.environ, KUBECONFIG=server.path("admin.kubeconfig")),
        )  # fmt: skip
        self.assertIn("1 of 2", watching.stdout.readline())
        status.update(replicas=2, updatedReplicas=2, readyReplicas=2, availableReplicas=2)
        merge(f"{DEPLOYMENTS}/web/status", {"status": status})
        out, _ = watching.communicate(timeout=20)
        self.assertIn("rolled out", out)
        self.assertEqual(watching.returncode, 0)
        self.fails(5, "is not there", "rollout", "status", "deploy/none")
        self.fails(2, "only Deployments", "rollout", "status", "pod/web-1")


class Revisions(CtlTest):
    """Going back, against ReplicaSets as the reconciler leaves them."""

    @classmethod
    def setUpClass(cls):
        labels = {"app": "rev"}
        cls.path = f"{DEPLOYMENTS}/rev"
        template = {"metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "c", "image": "x:3"}]}}  # fmt: skip
        make(DEPLOYMENTS, {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "rev", "annotations": {"why": "three", "only": "now"}},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        })  # fmt: skip
        uid = server.call("GET", cls.path).json["metadata"]["uid"]
        for number, owner in ((1, uid), (2, uid), (3, uid), (9, "somebody-else")):
            cls.make_set(number, owner, {**labels, "pod-template-hash": f"h{number}"})

    @staticmethod
    def make_set(number, uid, labels):
        template = {"metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "c", "image": f"x:{number}"}]}}  # fmt: skip
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "rev", "uid": uid,
                 "controller": True}  # fmt: skip
        annotations = {"deployment.kubernetes.io/revision": str(number), "why": f"was {number}",
                       "kubernetes.io/change-cause": f"cause {number}"}  # fmt: skip
        make("/apis/apps/v1/namespaces/default/replicasets", {
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": f"rev-h{number}", "labels": labels, "annotations": annotations,
                         "ownerReferences": [owner]},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        })  # fmt: skip

    def deployment(self):
        return server.call("GET", self.path).json

    def test_history_lists_own_revisions(self):
        out = self.ok("rollout", "history", "deploy/rev").splitlines()
        self.assertEqual(out[0], "deployment.apps/rev")
        self.assertEqual([line.split(maxsplit=1) for line in out[1:]], [
            ["REVISION", "CHANGE-CAUSE"], ["1", "cause 1"], ["2", "cause 2"], ["3", "cause 3"],
        ])  # fmt: skip
        self.fails(5, "not found", "rollout", "history", "deploy/none")
        self.fails(2, "only Deployments", "rollout", "history", "pod/web-1")

    def test_undo_brings_template_and_annotations_back(self):
        before = self.deployment()
        applied = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
        merge(self.path, {"metadata": {"annotations": applied}})
        self.assertEqual(self.ok("rollout", "undo", "deploy/rev"),
                         "deployment.apps/rev rolled back to revision 2\n")  # fmt: skip
        after = self.deployment()
        self.assertEqual(after["metadata"]["annotations"], {
            **applied, "why": "was 2", "kubernetes.io/change-cause": "cause 2"})  # fmt: skip
        self.assertEqual(after["spec"]["template"]["spec"]["containers"][0]["image"], "x:2")
        self.assertEqual(after["spec"]["template"]["metadata"]["labels"], {"app": "rev"})
        self.assertEqual(after["spec"]["selector"], before["spec"]["selector"])
        self.assertIn("unchanged: it is at revision 2", self.ok("rollout", "undo", "deploy/rev"))
        self.ok("rollout", "undo", "deploy/rev", "--to-revision=1")
        image = ("get", "deploy/rev", "-o=jsonpath={.spec.template.spec.containers[0].image}")
        self.assertEqual(self.ok(*image), "x:1")
        self.fails(5, "has no revision 9 .next: tuttictl rollout history", "rollout", "undo",
                   "deploy/rev", "--to-revision=9")  # fmt: skip
        self.fails(5, "no revision before this one", "rollout", "undo", "deploy/web")
        merge(self.path, {"spec": {"paused": True}})
        self.fails(2, "is paused", "rollout", "undo", "deploy/rev")
        merge(self.path, {"spec": {"paused": False}})


def main():
    global SERVER
    if len(sys.argv) < 3 or sys.argv[1] != "--server":
        sys.exit(__doc__)
    SERVER = sys.argv[2]
    del sys.argv[1:3]
    unittest.main()


if __name__ == "__main__":
    main()
