#!/usr/bin/env python3
"""The served API over HTTPS, as a client without a library sees it: what it answers and refuses.

Usage: api_test.py --server PATH-OF-api_testd [unittest arguments]
"""
import json
import subprocess
import sys
import time
import unittest

from api_server import Server

PROGRAM = None
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
LOGS_LEFT = 12
WRITERS = 40  # of one object, at once
ATTEMPTS = 64  # of a write whose compare fails
LOG_SIZE = 3 << 20  # of the pod `big`
SECRETS = "/api/v1/namespaces/default/secrets"


def configmap(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


class ApiTest(unittest.TestCase):
    """One server for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(PROGRAM).__enter__()

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        log = cls.server.log()
        cls.server.__exit__()
        assert code == 0, f"api_testd ended with {code}: {log}"

    def call(self, *args, **kwargs):
        return self.server.call(*args, **kwargs)

    def create(self, name, **data):
        answer = self.call("POST", CONFIGMAPS, configmap(name, **data))
        self.assertEqual(answer.code, 201, answer.text)
        return answer.json

    def refused(self, answer, code, reason, text=""):
        self.assertEqual(answer.code, code, answer.text)
        status = answer.json
        self.assertEqual((status["kind"], status["status"]), ("Status", "Failure"))
        self.assertEqual((status["reason"], status["code"]), (reason, code))
        self.assertIn(text, status["message"])


class Writes(ApiTest):
    def test_create_fills_in_what_the_server_owns(self):
        made = self.create("filled", a="1")
        for field in ("uid", "resourceVersion", "creationTimestamp"):
            self.assertTrue(made["metadata"][field])
        self.assertEqual(made["metadata"]["namespace"], "default")
        self.assertEqual(self.call("GET", CONFIGMAPS + "/filled").json, made)

    def test_create_twice_conflicts(self):
        self.create("twice")
        answer = self.call("POST", CONFIGMAPS, configmap("twice"))
        self.refused(answer, 409, "AlreadyExists", 'configmaps "twice" already exists')
        self.assertEqual(answer.json["details"]["name"], "twice")

    def test_generated_names_differ(self):
        body = configmap("x")
        body["metadata"] = {"generateName": "gen-"}
        names = {self.call("POST", CONFIGMAPS, body).json["metadata"]["name"] for _ in range(5)}
        self.assertEqual(len(names), 5)
        self.assertTrue(all(name.startswith("gen-") and len(name) == 9 for name in names))

    def test_stale_revision_is_refused_and_changes_nothing(self):
        first = self.create("stale", a="1")
        path = CONFIGMAPS + "/stale"
        first["data"] = {"a": "2"}
        second = self.call("PUT", path, first)
        self.assertEqual(second.code, 200, second.text)
        self.refused(self.call("PUT", path, first), 409, "Conflict", "has been modified")
        patch = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}}
        headers = {"Content-Type": "application/merge-patch+json"}
        self.refused(self.call("PATCH", path, json.dumps(patch), headers=headers), 409, "Conflict")
        self.assertEqual(self.call("GET", path).revision, second.revision)

    def test_update_without_a_change_writes_nothing(self):
        made = self.create("same", a="1")
        answer = self.call("PUT", CONFIGMAPS + "/same", made)
        self.assertEqual((answer.code, answer.revision), (200, made["metadata"]["resourceVersion"]))

    def test_unconditional_updates_all_land(self):
        self.create("counter")
        path = CONFIGMAPS + "/counter"
        headers = {"Content-Type": "application/merge-patch+json"}
        connections = [self.server.connect() for _ in range(WRITERS)]
        for connection in connections:
            connection.connect()
        for index, connection in enumerate(connections):  # all of them at once
            body = json.dumps({"data": {f"k{index}": "1"}})
            connection.request("PATCH", path, body, headers)
        codes = [connection.getresponse().status for connection in connections]
        for connection in connections:
            connection.close()
        self.assertEqual(codes, [200] * WRITERS)
        self.assertEqual(len(self.call("GET", path).json["data"]), WRITERS)

    def test_dry_run_answers_and_stores_nothing(self):
        answer = self.call("POST", CONFIGMAPS + "?dryRun=All", configmap("dry"))
        self.assertEqual(answer.code, 201)
        self.assertEqual(self.call("GET", CONFIGMAPS + "/dry").code, 404)
        self.refused(
            self.call("POST", CONFIGMAPS + "?dryRun=Some", configmap("dry")), 400, "BadRequest"
        )

    def test_patches_of_three_kinds(self):
        self.create("patched", a="1")
        path = CONFIGMAPS + "/patched"
        for content_type, body in (
            ("application/merge-patch+json", {"data": {"b": "2"}}),
            ("application/strategic-merge-patch+json", {"data": {"c": "3"}}),
            ("application/json-patch+json", [{"op": "remove", "path": "/data/a"}]),
        ):
            headers = {"Content-Type": content_type}
            answer = self.call("PATCH", path, json.dumps(body), headers=headers)
            self.assertEqual(answer.code, 200, answer.text)
        self.assertEqual(self.call("GET", path).json["data"], {"b": "2", "c": "3"})
        for content_type in ("application/apply-patch+yaml", "text/plain"):
            answer = self.call("PATCH", path, "{}", headers={"Content-Type": content_type})
            self.refused(answer, 415, "UnsupportedMediaType")

    def test_strict_validation_names_every_unknown_field(self):
        body = configmap("strict")
        body["foo"] = 1
        body["metadata"]["bar"] = 2
        answer = self.call("POST", CONFIGMAPS + "?fieldValidation=Strict", body)
        self.refused(answer, 400, "BadRequest", "strict decoding error")
        self.assertIn('unknown field "foo"', answer.json["message"])
        self.assertIn('unknown field "metadata.bar"', answer.json["message"])
        answer = self.call("POST", CONFIGMAPS + "?fieldValidation=Warn", body)
        self.assertEqual(answer.code, 201)
        warnings = " ".join(answer.headers.get_all("Warning"))
        self.assertIn('unknown field \\"foo\\"', warnings)
        self.assertIn('unknown field \\"metadata.bar\\"', warnings)

    def test_retries_with_a_key_are_applied_once(self):
        headers = {"Tutti-Request-Id": "k-1"}
        body = configmap("x")
        body["metadata"] = {"generateName": "once-"}
        first = self.call("POST", CONFIGMAPS, body, headers=headers)
        second = self.call("POST", CONFIGMAPS, body, headers=headers)
        self.assertEqual((first.code, second.code), (201, 201))
        self.assertEqual(first.json, second.json)
        name = first.json["metadata"]["name"]
        headers = {"Tutti-Request-Id": "k-2"}
        for _ in range(2):
            answer = self.call("DELETE", CONFIGMAPS + "/" + name, headers=headers)
            self.assertEqual(answer.code, 200, answer.text)
        self.refused(self.call("DELETE", CONFIGMAPS + "/" + name), 404, "NotFound")


CONFLICT, TIMEOUT, UNAVAILABLE, NO_SPACE = -9, -15, -16, -19


class Faults(ApiTest):
    def test_a_failed_compare_is_admitted_again(self):
        self.server.fail_next(ATTEMPTS - 1, CONFLICT)
        self.create("again")
        self.server.fail_next(ATTEMPTS, CONFLICT)
        answer = self.call("POST", CONFIGMAPS, configmap("never"))
        self.refused(answer, 409, "Conflict")
        self.create("never")

    def test_an_unknown_outcome_is_a_timeout(self):
        self.server.fail_next(1, TIMEOUT)
        answer = self.call("POST", CONFIGMAPS, configmap("unknown"))
        self.refused(answer, 504, "Timeout", "may or may not")

    def test_a_retry_after_an_unknown_outcome_is_exactly_once(self):
        headers = {"Tutti-Request-Id": "unknown-1"}
        body = configmap("x")
        body["metadata"] = {"generateName": "retried-"}
        self.server.fail_next(1, TIMEOUT)
        self.assertEqual(self.call("POST", CONFIGMAPS, body, headers=headers).code, 504)
        again = self.call("POST", CONFIGMAPS, body, headers=headers)
        self.assertEqual(again.code, 201, again.text)
        items = self.call("GET", CONFIGMAPS).json["items"]
        names = [i["metadata"]["name"] for i in items if "retried-" in i["metadata"]["name"]]
        self.assertEqual(names, [again.json["metadata"]["name"]])

    def test_no_leader_and_no_space_say_when_to_come_back(self):
        for code, http, reason in (
            (UNAVAILABLE, 503, "ServiceUnavailable"),
            (NO_SPACE, 507, "InsufficientStorage"),
        ):
            self.server.fail_next(1, code)
            answer = self.call("POST", CONFIGMAPS, configmap("nowhere"))
            self.refused(answer, http, reason)
            self.assertEqual(answer.headers["Retry-After"], "1")
        self.assertEqual(self.call("GET", CONFIGMAPS + "/nowhere").code, 404)


class Logs(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
        cls.server.call("POST", "/api/v1/nodes", node)
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": cls.server.agent_port}},
        }
        headers = {"Content-Type": "application/merge-patch+json"}
        body = json.dumps({"status": status})
        answer = cls.server.call("PATCH", "/api/v1/nodes/n1/status", body, headers=headers)
        assert answer.code == 200, answer.text
        cls.pods = "/api/v1/namespaces/default/pods"
        for name, containers in (
            ("one", ["c"]),
            ("two", ["a", "b"]),
            ("missing", ["c"]),
            ("big", ["c"]),
        ):
            cls.make_pod(name, containers, "n1")
        cls.make_pod("unbound", ["c"], "")
        cls.make_pod("stray", ["c"], "n7")

    @classmethod
    def make_pod(cls, name, containers, node):
        spec = {"containers": [{"name": c, "image": "x"} for c in containers]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        answer = cls.server.call("POST", cls.pods, pod)
        assert answer.code == 201, answer.text
        if node:
            target = {"target": {"kind": "Node", "name": node}}
            answer = cls.server.call("POST", f"{cls.pods}/{name}/binding", target)
            assert answer.code == 201, answer.text

    def test_the_agent_is_asked_by_this_server(self):
        answer = self.call("GET", self.pods + "/one/log?tailLines=5&timestamps=true")
        self.assertEqual(answer.code, 200, answer.text)
        self.assertIn("/containerLogs/default/one/c?", answer.text)
        self.assertIn("tailLines=5", answer.text)
        self.assertIn("by spiffe://test/server/s1", answer.text)

    def test_a_container_must_be_chosen(self):
        self.refused(self.call("GET", self.pods + "/two/log"), 400, "BadRequest", "[a b]")
        self.assertIn("/two/b?", self.call("GET", self.pods + "/two/log?container=b").text)
        answer = self.call("GET", self.pods + "/two/log?container=x%2Fy")
        self.refused(answer, 400, "BadRequest", "not valid")

    def test_what_cannot_be_asked_is_told(self):
        answer = self.call("GET", self.pods + "/missing/log")
        self.refused(answer, 404, "NotFound", "no such container")
        self.refused(self.call("GET", self.pods + "/unbound/log"), 400, "BadRequest", "host")
        self.refused(self.call("GET", self.pods + "/stray/log"), 404, "NotFound", "n7")
        self.refused(self.call("GET", self.pods + "/nope/log"), 404, "NotFound")
        self.refused(self.call("GET", self.pods + "/one/log", user="nobody"), 403, "Forbidden")

    def leave_logs(self):
        for _ in range(LOGS_LEFT):
            connection = self.server.connect_slow()
            connection.request("GET", self.pods + "/big/log")
            self.assertEqual(connection.getresponse().status, 200)
            for _ in range(4):  # while the agent says the rest of it
                self.call("GET", self.pods + "/one/log")
            connection.close()
        self.call("GET", self.pods + "/one/log")

    def test_what_a_client_did_not_take_of_a_log_is_freed(self):
        self.leave_logs()  # the first time takes memory that the allocator keeps for the next
        before = self.server.memory()
        self.leave_logs()
        if not self.server.is_sanitized():  # such a one keeps what was freed, and tells leaks
            self.assertLess(self.server.memory() - before, LOGS_LEFT * LOG_SIZE // 2)

    def test_a_bound_pod_is_bound_once_and_goes_gracefully(self):
        body = {"target": {"kind": "Node", "name": "n2"}}
        answer = self.call("POST", self.pods + "/one/binding", body)
        self.refused(answer, 409, "Conflict", "already assigned")
        self.make_pod("going", ["c"], "n1")
        marked = self.call("DELETE", self.pods + "/going")
        self.assertEqual(marked.json["metadata"]["deletionGracePeriodSeconds"], 30)
        gone = self.call("DELETE", self.pods + "/going?gracePeriodSeconds=0", user="agent-n1")
        self.assertEqual(gone.json["status"], "Success")
        self.assertEqual(self.call("GET", self.pods + "/going").code, 404)


class Deletions(ApiTest):
    def test_preconditions_hold_or_nothing_happens(self):
        made = self.create("guarded")
        path = CONFIGMAPS + "/guarded"
        for preconditions in ({"uid": "other"}, {"resourceVersion": "1"}):
            answer = self.call("DELETE", path, {"preconditions": preconditions})
            self.refused(answer, 409, "Conflict", "Precondition failed")
        answer = self.call("DELETE", path, {"preconditions": {"uid": made["metadata"]["uid"]}})
        self.assertEqual(answer.json["status"], "Success")
        self.assertEqual(answer.json["details"]["uid"], made["metadata"]["uid"])

    def test_finalizers_hold_an_object_until_the_last_is_gone(self):
        body = configmap("held")
        body["metadata"]["finalizers"] = ["example.com/a"]
        self.call("POST", CONFIGMAPS, body)
        path = CONFIGMAPS + "/held"
        marked = self.call("DELETE", path)
        self.assertTrue(marked.json["metadata"]["deletionTimestamp"])
        headers = {"Content-Type": "application/merge-patch+json"}
        more = json.dumps({"metadata": {"finalizers": ["example.com/a", "example.com/b"]}})
        self.refused(self.call("PATCH", path, more, headers=headers), 422, "Invalid")
        none = json.dumps({"metadata": {"finalizers": None}})
        self.assertEqual(self.call("PATCH", path, none, headers=headers).code, 200)
        self.assertEqual(self.call("GET", path).code, 404)

    def test_propagation_is_written_down_for_the_collector(self):
        for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
            name = policy.lower()
            self.create(name)
            answer = self.call("DELETE", CONFIGMAPS + "/" + name, {"propagationPolicy": policy})
            self.assertEqual(answer.json["metadata"]["finalizers"], [finalizer])
        self.create("wrong")
        answer = self.call("DELETE", CONFIGMAPS + "/wrong", {"propagationPolicy": "Sideways"})
        self.refused(answer, 422, "Invalid")

    def test_collection_by_selector(self):
        for i in range(70):
            body = configmap(f"many-{i}")
            body["metadata"]["labels"] = {"half": str(i % 2)}
            self.call("POST", CONFIGMAPS, body)
        self.assertEqual(self.call("DELETE", CONFIGMAPS + "?labelSelector=half%3D1").code, 200)
        left = self.call("GET", CONFIGMAPS + "?labelSelector=half").json["items"]
        self.assertEqual({item["metadata"]["labels"]["half"] for item in left}, {"0"})
        self.assertEqual(len(left), 35)

    def test_dry_run_of_a_collection_looks_at_all_of_it(self):
        made = []
        for name in ("heavy-a", "heavy-b"):
            body = configmap(name, text="x" * (600 << 10))  # one fills a transaction
            body["metadata"]["labels"] = {"heavy": "yes"}
            body["metadata"]["finalizers"] = ["example.com/a"]
            answer = self.call("POST", CONFIGMAPS, body)
            self.assertEqual(answer.code, 201, answer.text)
            made.append(answer.json)
        path = CONFIGMAPS + "?labelSelector=heavy&dryRun=All"
        self.assertEqual(self.call("DELETE", path).code, 200)
        options = {"preconditions": {"uid": made[0]["metadata"]["uid"]}}
        self.refused(self.call("DELETE", path, options), 409, "Conflict", "heavy-b")
        left = self.call("GET", CONFIGMAPS + "?labelSelector=heavy").json["items"]
        self.assertEqual(left, made)

    def test_namespace_lifecycle(self):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        made = self.call("POST", "/api/v1/namespaces", body).json
        self.assertEqual(made["spec"]["finalizers"], ["kubernetes"])
        self.assertEqual(made["metadata"]["labels"]["kubernetes.io/metadata.name"], "shop")
        marked = self.call("DELETE", "/api/v1/namespaces/shop").json
        self.assertEqual(marked["status"]["phase"], "Terminating")
        inside = "/api/v1/namespaces/shop/configmaps"
        self.refused(self.call("POST", inside, configmap("x")), 403, "Forbidden", "terminated")
        marked["spec"]["finalizers"] = []
        self.assertEqual(self.call("PUT", "/api/v1/namespaces/shop/finalize", marked).code, 200)
        self.assertEqual(self.call("GET", "/api/v1/namespaces/shop").code, 404)
        answer = self.call("POST", inside, configmap("x"))
        self.refused(answer, 404, "NotFound", 'namespaces "shop"')
        self.refused(self.call("DELETE", "/api/v1/namespaces/default"), 403, "Forbidden")


class Reads(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for i in range(25):
            body = configmap(f"page-{i:02}")
            body["metadata"]["labels"] = {"parity": "odd" if i % 2 else "even"}
            cls.server.call("POST", CONFIGMAPS, body)

    def test_pages_are_consistent_and_complete(self):
        seen, token, revisions = [], "", set()
        while True:
            path = f"{CONFIGMAPS}?limit=10&labelSelector=parity&continue={token}"
            page = self.call("GET", path).json
            seen += [item["metadata"]["name"] for item in page["items"]]
            revisions.add(page["metadata"]["resourceVersion"])
            token = page["metadata"].get("continue", "")
            if not token:
                break
            self.call("POST", CONFIGMAPS, configmap(f"page-between-{len(seen)}"))
        self.assertEqual(seen, [f"page-{i:02}" for i in range(25)])
        self.assertEqual(len(revisions), 1)

    def test_selectors(self):
        names = lambda query: len(self.call("GET", CONFIGMAPS + "?" + query).json["items"])
        self.assertEqual(names("labelSelector=parity%3Deven"), 13)
        self.assertEqual(names("labelSelector=parity+in+(odd,even)"), 25)
        self.assertEqual(names("fieldSelector=metadata.name%3Dpage-03"), 1)
        for query in ("labelSelector=%3D%3D", "fieldSelector=data.x%3D1", "labelSelector=a+in"):
            self.refused(self.call("GET", CONFIGMAPS + "?" + query), 400, "BadRequest")

    def test_bad_list_options(self):
        for query in (
            "limit=-1",
            "limit=x",
            "resourceVersion=abc",
            "continue=zzz",
            "resourceVersionMatch=Exact",
            "resourceVersion=1&resourceVersionMatch=Sometimes",
        ):
            self.refused(self.call("GET", CONFIGMAPS + "?" + query), 400, "BadRequest")

    def test_revision_of_the_future_times_out(self):
        answer = self.call("GET", CONFIGMAPS + "?resourceVersion=999999999")
        self.refused(answer, 504, "Timeout", "Too large resource version")

    def test_table_and_metadata_forms(self):
        table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
        answer = self.call("GET", CONFIGMAPS + "?limit=3", headers=table).json
        self.assertEqual((answer["kind"], len(answer["rows"])), ("Table", 3))
        self.assertTrue(answer["metadata"]["continue"])
        partial = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
        answer = self.call("GET", CONFIGMAPS + "/page-00", headers=partial).json
        self.assertEqual(answer["kind"], "PartialObjectMetadata")
        self.assertNotIn("data", answer)
        unknown = "application/json;as=Table;v=v9;g=meta.k8s.io"
        for accept in ("text/html", unknown, "application/json;as=Chair;v=v1;g=meta.k8s.io"):
            answer = self.call("GET", CONFIGMAPS, headers={"Accept": accept})
            self.refused(answer, 406, "NotAcceptable")
        answer = self.call("GET", CONFIGMAPS, headers={"Accept": unknown + ",application/json"})
        self.assertEqual(answer.json["kind"], "ConfigMapList")


class Watches(ApiTest):
    def test_resume_sees_each_change_once(self):
        made = self.create("seen", a="0")
        revision = made["metadata"]["resourceVersion"]
        for i in range(1, 6):
            made["data"] = {"a": str(i)}
            made = self.call("PUT", CONFIGMAPS + "/seen", made).json
        self.call("DELETE", CONFIGMAPS + "/seen")
        watch = self.server.watch(f"{CONFIGMAPS}?watch=1&resourceVersion={revision}")
        events = [watch.next() for _ in range(6)]
        watch.close()
        self.assertEqual([e["type"] for e in events], ["MODIFIED"] * 5 + ["DELETED"])
        self.assertEqual([e["object"]["data"]["a"] for e in events], list("123455"))
        revisions = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
        self.assertEqual(revisions, sorted(set(revisions)))

    def test_initial_events_end_with_a_bookmark(self):
        self.create("there")
        query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        watch = self.server.watch(f"{CONFIGMAPS}?{query}&allowWatchBookmarks=true")
        types = []
        while True:
            event = watch.next()
            types.append(event["type"])
            notes = event["object"]["metadata"].get("annotations", {})
            if notes.get("k8s.io/initial-events-end") == "true":
                break
        watch.close()
        self.assertEqual(types[-1], "BOOKMARK")
        self.assertEqual(set(types[:-1]), {"ADDED"})
        answer = self.call("GET", f"{CONFIGMAPS}?watch=1&sendInitialEvents=true")
        self.refused(answer, 422, "Invalid")

    def bookmarks_of_three_seconds(self):
        """Their number, and how long the stream was open."""
        revision = self.call("GET", CONFIGMAPS).revision
        query = f"watch=1&resourceVersion={revision}&allowWatchBookmarks=true&timeoutSeconds=3"
        begun = time.monotonic()
        watch = self.server.watch(f"{CONFIGMAPS}?{query}")
        count = 0
        while (event := watch.next()) is not None:
            count += event["type"] == "BOOKMARK"
        watch.close()
        return count, time.monotonic() - begun

    def test_bookmarks_come_each_second(self):
        for _ in range(3):  # the clocks' ticks are late where the machine is busy
            count, open_s = self.bookmarks_of_three_seconds()
            self.assertLess(count, open_s + 1, "more than one a second")
            if count in (2, 3) and abs(open_s - 3) < 1:
                return
        self.fail(f"{count} bookmarks, and the end after {open_s:.1f} s")

    def test_a_watch_from_the_future_times_out(self):
        answer = self.call("GET", "/api/v1/pods?watch=1&resourceVersion=999999999")
        self.refused(answer, 504, "Timeout")


class BadInput(ApiTest):
    def test_malformed_bodies(self):
        for body in ("", "{", "[]", "null", '{"a":1}x', '{"a":"\\ud800"}', '"text"'):
            headers = {"Content-Type": "application/json"}
            answer = self.call("POST", CONFIGMAPS, body, headers=headers)
            self.refused(answer, 400, "BadRequest")

    def test_depth_bomb_is_refused(self):
        body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":' + '{"a":' * 5000
        answer = self.call("POST", CONFIGMAPS, body)
        self.assertIn(answer.code, (400, 413))

    def test_oversized_body_is_refused(self):
        answer = self.call("POST", CONFIGMAPS, configmap("big", a="x" * (3 << 20)))
        self.assertEqual(answer.code, 413)
        answer = self.call("POST", CONFIGMAPS, configmap("big", a="x" * ((1 << 20) + 100)))
        self.assertIn(answer.code, (413, 422))
        self.assertEqual(self.call("GET", CONFIGMAPS + "/big").code, 404)

    def test_wrong_content_type(self):
        answer = self.call("POST", CONFIGMAPS, "a: b", headers={"Content-Type": "application/yaml"})
        self.refused(answer, 415, "UnsupportedMediaType")

    def test_wrong_kind_name_and_namespace(self):
        body = configmap("x")
        body["kind"] = "Secret"
        self.refused(self.call("POST", CONFIGMAPS, body), 400, "BadRequest")
        body = configmap("x")
        body["metadata"]["namespace"] = "other"
        self.refused(self.call("POST", CONFIGMAPS, body), 400, "BadRequest", "namespace")
        answer = self.call("POST", CONFIGMAPS, configmap("Not Valid"))
        self.refused(answer, 422, "Invalid", "metadata.name")
        self.assertEqual(answer.json["details"]["kind"], "ConfigMap")
        self.assertTrue(answer.json["details"]["causes"])

    def test_unknown_paths_and_methods(self):
        self.refused(self.call("GET", "/api/v1/namespaces/default/gizmos"), 404, "NotFound")
        self.refused(self.call("GET", "/apis/nowhere/v1"), 404, "NotFound")
        self.refused(self.call("DELETE", "/version"), 405, "MethodNotAllowed")
        self.refused(self.call("PUT", CONFIGMAPS, configmap("x")), 405, "MethodNotAllowed")
        self.refused(self.call("GET", "/api/v1/namespaces/default/nodes/x"), 404, "NotFound")


class Security(ApiTest):
    def test_without_a_certificate_only_health_and_joining(self):
        self.assertEqual(self.call("GET", "/healthz", user=None).text, "ok")
        for path in ("/version", "/api", CONFIGMAPS, "/metrics", "/tutti/v1/cluster", "/nowhere"):
            self.refused(self.call("GET", path, user=None), 401, "Unauthorized")

    def test_reader_and_nobody(self):
        self.assertEqual(self.call("GET", CONFIGMAPS, user="reader").code, 200)
        self.refused(self.call("GET", SECRETS, user="reader"), 403, "Forbidden")
        self.refused(self.call("POST", CONFIGMAPS, configmap("x"), user="reader"), 403, "Forbidden")
        self.refused(self.call("GET", CONFIGMAPS, user="nobody"), 403, "Forbidden")
        self.assertEqual(self.call("GET", "/apis", user="nobody").code, 200)

    def test_agent_creates_only_its_own_node(self):
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}}
        self.refused(self.call("POST", "/api/v1/nodes", node, user="agent-n1"), 403, "Forbidden")
        node["metadata"]["name"] = "n1"
        answer = self.call("POST", "/api/v1/nodes", node, user="agent-n1")
        self.assertEqual(answer.code, 201, answer.text)

    def test_secrets_are_sealed_at_rest(self):
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
        secret["stringData"] = {"p": "canary-4711"}
        answer = self.call("POST", SECRETS, secret)
        self.assertEqual(answer.code, 201, answer.text)
        self.assertIn("Y2FuYXJ5LTQ3MTE", answer.text)
        self.assertIn("Y2FuYXJ5LTQ3MTE", self.call("GET", SECRETS + "/s").text)
        self.assertIn("Y2FuYXJ5LTQ3MTE", self.call("GET", SECRETS).text)
        connection = self.server.connect()
        connection.request("GET", "/tutti/v1/cluster/backup")
        backup = connection.getresponse().read()
        connection.close()
        self.assertGreater(len(backup), 500)
        self.assertNotIn(b"Y2FuYXJ5LTQ3MTE", backup)
        self.assertNotIn(b"canary-4711", backup)
        self.assertNotIn("canary", self.server.log())

    def request_certificate(self, name):
        key, csr = self.server.path(name + ".key"), self.server.path(name + ".csr")
        subprocess.run(
            ["openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-subj", "/CN=anything", "-keyout", key, "-out", csr],
            check=True, capture_output=True,
        )  # fmt: skip
        with open(csr, encoding="ascii") as handle:
            return handle.read()

    def save_certificate(self, name, answer):
        with open(self.server.path(name + ".crt"), "w", encoding="ascii") as handle:
            handle.write(answer.json["certificate"])

    def test_join_renew_revoke(self):
        token = self.call("POST", "/tutti/v1/tokens", {"role": "agent", "name": "n9"}).json["token"]
        csr = self.request_certificate("n9")
        join = lambda name: self.call(
            "POST", "/tutti/v1/join", {"token": token, "name": name, "csr": csr}, user=None
        )
        self.refused(join("n8"), 401, "Unauthorized")
        joined = join("n9")
        self.assertEqual(joined.code, 201, joined.text)
        self.save_certificate("n9", joined)
        self.refused(join("n9"), 401, "Unauthorized")
        who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        review = self.call("POST", who, {}, user="n9").json
        self.assertEqual(review["status"]["userInfo"]["username"], "system:node:n9")
        renewed = self.call("POST", "/tutti/v1/certificates/renew", {"csr": csr}, user="n9")
        self.assertEqual(renewed.code, 201, renewed.text)
        connection = self.server.connect("n9")
        connection.request("GET", "/version")
        self.assertEqual(connection.getresponse().read()[:1], b"{")
        serial = subprocess.run(
            ["openssl", "x509", "-noout", "-serial", "-in", self.server.path("n9.crt")],
            check=True, capture_output=True, text=True,
        ).stdout.strip().split("=")[1].lower()  # fmt: skip
        answer = self.call("POST", "/tutti/v1/certificates/revoked", {"serial": serial})
        self.assertEqual(answer.code, 200, answer.text)
        begun = time.monotonic()
        with self.assertRaises(Exception):
            while time.monotonic() - begun < 10:
                connection.request("GET", "/version")
                connection.getresponse().read()
                time.sleep(0.1)
        self.assertLess(time.monotonic() - begun, 5)
        connection.close()
        with self.assertRaises(Exception):
            self.call("GET", "/version", user="n9")
        listed = self.call("GET", "/tutti/v1/certificates/revoked").json["revoked"]
        self.assertEqual(listed, [serial])

    def test_only_admins_mint_tokens(self):
        for user in ("reader", "nobody", "agent-n1"):
            answer = self.call("POST", "/tutti/v1/tokens", {"role": "agent"}, user=user)
            self.refused(answer, 403, "Forbidden")


class Operations(ApiTest):
    def test_cluster_status(self):
        status = self.call("GET", "/tutti/v1/cluster").json
        self.assertIn("leader", status)
        self.assertGreater(status["revision"], 0)

    def test_metrics_count(self):
        self.call("GET", CONFIGMAPS)
        text = self.call("GET", "/metrics").text
        self.assertIn('tutti_api_requests_total{verb="list",code="2xx"}', text)
        self.assertIn("tutti_store_revision ", text)
        self.assertIn("process_resident_memory_bytes ", text)

    def test_discovery_forms(self):
        accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        answer = self.call("GET", "/apis", headers={"Accept": accept + ",application/json"})
        self.assertEqual(answer.headers["Content-Type"], accept)
        self.assertEqual(answer.json["kind"], "APIGroupDiscoveryList")
        self.assertEqual(self.call("GET", "/apis").json["kind"], "APIGroupList")
        self.assertEqual(self.call("GET", "/api/v1").json["kind"], "APIResourceList")

    def test_every_announced_subresource_is_served(self):
        methods = {"get": "GET", "update": "PUT", "patch": "PATCH", "create": "POST"}
        headers = {"Content-Type": "application/merge-patch+json"}
        seen = set()
        for base in ("/api/v1", "/apis/apps/v1"):
            for resource in self.call("GET", base).json["resources"]:
                plural, _, sub = resource["name"].partition("/")
                place = "/namespaces/default" if resource["namespaced"] else ""
                for verb in resource["verbs"] if sub else ():
                    body = None if verb == "get" else "{}"
                    path = f"{base}{place}/{plural}/nothing-here/{sub}"
                    answer = self.call(methods[verb], path, body, headers=headers)
                    self.assertNotEqual(answer.code, 405, f"{verb} {path}: {answer.text}")
                    self.assertNotIn("does not serve", answer.text)
                    seen.add(sub)
        self.assertEqual(seen, {"status", "scale", "log", "binding", "eviction", "finalize"})
        answer = self.call("POST", "/api/v1/namespaces/default/pods/p/exec?command=ls")
        self.refused(answer, 404, "NotFound", "does not serve pods/exec")

    def test_openapi_is_fetched_once(self):
        url = self.call("GET", "/openapi/v3").json["paths"]["api/v1"]["serverRelativeURL"]
        answer = self.call("GET", url)
        self.assertEqual(answer.code, 200)
        again = self.call("GET", url, headers={"If-None-Match": answer.headers["ETag"]})
        self.assertEqual((again.code, again.text), (304, ""))


def main(module, usage=__doc__):
    """The tests of a module, whose first two arguments name the server."""
    global PROGRAM
    if len(sys.argv) < 3 or sys.argv[1] != "--server":
        sys.exit(usage)
    PROGRAM = sys.argv[2]
    del sys.argv[1:3]
    unittest.main(module)


if __name__ == "__main__":
    main("__main__")
