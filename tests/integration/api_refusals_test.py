#!/usr/bin/env python3
"""What the API refuses, and that it says all of it: malformed bodies, details of a Status, expiry.

Usage: api_refusals_test.py --server PATH-OF-api_testd [unittest arguments]
"""
import json

import api_test
from api_test import CONFIGMAPS, ApiTest, configmap


class MalformedBodies(ApiTest):
    """What is not understood changes nothing, and says what it did not understand."""

    DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
    MERGE = {"Content-Type": "application/merge-patch+json"}

    def deployment(self, name, replicas=3):
        labels = {"a": name}
        pod = {"containers": [{"name": "c", "image": "x"}]}
        template = {"metadata": {"labels": labels}, "spec": pod}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
        body["spec"] = spec
        answer = self.call("POST", self.DEPLOYMENTS, body)
        self.assertEqual(answer.code, 201, answer.text)
        return answer

    def test_options_of_a_deletion_that_are_misread_delete_nothing(self):
        made = self.create("stays")
        path = CONFIGMAPS + "/stays"
        for options, text in (
            ({"dryRun": "All"}, "dryRun"),
            ({"preconditions": {"resourceVersion": 1}}, "preconditions.resourceVersion"),
            ({"preconditions": {"uid": 7}}, "preconditions.uid"),
            ({"preconditions": "x"}, "preconditions"),
            ({"gracePeriodSeconds": "5"}, "gracePeriodSeconds"),
            ({"propagationPolicy": 1}, "propagationPolicy"),
            ({"orphanDependents": "yes"}, "orphanDependents"),
            ({"kind": "Pod"}, "expected kind (DeleteOptions)"),
            ([], "DeleteOptions"),
            ("null", "DeleteOptions"),
        ):
            headers = {"Content-Type": "application/json"}
            for target in (path, CONFIGMAPS):
                answer = self.call("DELETE", target, options, headers=headers)
                self.refused(answer, 400, "BadRequest", text)
        both = {"propagationPolicy": "Foreground", "orphanDependents": True}
        self.refused(self.call("DELETE", path, both), 422, "Invalid", "cannot be both set")
        self.assertEqual(self.call("GET", path).json, made)
        unknown = {"kind": "DeleteOptions", "apiVersion": "apps/v1", "notKnownYet": 1}
        self.assertEqual(self.call("DELETE", path, unknown).code, 200)

    def test_a_body_that_is_no_scale_scales_nothing(self):
        self.deployment("scaled")
        path = self.DEPLOYMENTS + "/scaled/scale"
        good = self.call("GET", path).json
        name = {"metadata": {"name": "scaled"}}
        headers = {"Content-Type": "application/json"}
        for body, text in (
            ([], "Scale"),
            ("null", "Scale"),
            ({**good, "kind": "Pod"}, "expected kind (Scale)"),
            ({**good, "metadata": {"name": "other"}}, "other"),
            ({**good, "metadata": {"name": "scaled", "namespace": "other"}}, "other"),
            ({**name, "spec": {"replicas": "1"}}, "spec.replicas"),
            ({**name, "spec": {"replicas": 1 << 31}}, "spec.replicas"),
            ({**name, "spec": []}, "spec"),
        ):
            self.refused(self.call("PUT", path, body, headers=headers), 400, "BadRequest", text)
        answer = self.call("PUT", path, {**name, "spec": {"replicas": -1}})
        self.refused(answer, 422, "Invalid", "-1: must be")
        body = {"metadata": {"name": "scaled", "uid": "x"}, "spec": {"replicas": 1}}
        self.refused(self.call("PUT", path, body), 409, "Conflict", "UID")
        body = {**name, "spec": {"replicas": 1, "count": 2}}
        answer = self.call("PUT", path + "?fieldValidation=Strict", body)
        self.refused(answer, 400, "BadRequest", 'unknown field "spec.count"')
        answer = self.call("PATCH", path, json.dumps([]), headers=self.MERGE)
        self.refused(answer, 400, "BadRequest", "Scale")
        self.assertEqual(self.call("GET", path).json, good)
        good["spec"]["replicas"] = 2
        self.assertEqual(self.call("PUT", path, good).json["spec"]["replicas"], 2)

    def test_a_refusal_names_everything_it_found(self):
        body = configmap("long")
        fields = [f"unknownField{i}" for i in range(40)]
        body.update({field: 1 for field in fields})
        answer = self.call("POST", CONFIGMAPS + "?fieldValidation=Strict", body)
        self.refused(answer, 400, "BadRequest", 'ConfigMap in version "v1" cannot be handled')
        for field in fields:
            self.assertIn(f'unknown field "{field}"', answer.json["message"])
        keys = {f"not a key {i}": "" for i in range(8)}
        answer = self.call("POST", CONFIGMAPS, configmap("long", **keys))
        self.refused(answer, 422, "Invalid", 'ConfigMap "long" is invalid: [')
        for key in keys:
            self.assertIn(f'"{key}"', answer.json["message"])
        self.assertEqual(len(answer.json["details"]["causes"]), len(keys))
        self.assertTrue(answer.json["message"].endswith("]"))

    def test_an_eviction_of_another_pod_is_refused(self):
        pods = "/api/v1/namespaces/default/pods"
        spec = {"containers": [{"name": "c", "image": "x"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "evicted"}, "spec": spec}
        self.assertEqual(self.call("POST", pods, pod).code, 201)
        path = pods + "/evicted/eviction"
        for body in (
            [],
            {"kind": "Pod"},
            {"metadata": {"name": "other"}},
            {"deleteOptions": {"dryRun": "All"}},
        ):
            self.refused(self.call("POST", path, body), 400, "BadRequest")
        self.assertEqual(self.call("GET", pods + "/evicted").code, 200)
        self.assertEqual(self.call("POST", path, {"metadata": {"name": "evicted"}}).code, 201)
        self.assertEqual(self.call("GET", pods + "/evicted").code, 404)


class Details(ApiTest):
    """What clients read of a Status besides its message."""

    def test_a_missing_namespace_is_what_was_not_found(self):
        path = "/api/v1/namespaces/nowhere/configmaps"
        answer = self.call("POST", path, configmap("x"))
        self.refused(answer, 404, "NotFound", 'namespaces "nowhere" not found')
        self.assertEqual(answer.json["details"], {"name": "nowhere", "kind": "namespaces"})

    def test_a_namespace_that_goes_says_so_as_a_cause(self):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going"}}
        self.assertEqual(self.call("POST", "/api/v1/namespaces", body).code, 201)
        self.assertEqual(self.call("DELETE", "/api/v1/namespaces/going").code, 200)
        answer = self.call("POST", "/api/v1/namespaces/going/configmaps", configmap("x"))
        self.refused(answer, 403, "Forbidden", "because it is being terminated")
        cause = {
            "reason": "NamespaceTerminating",
            "message": "namespace going is being terminated",
            "field": "metadata.namespace",
        }
        self.assertEqual(answer.json["details"]["causes"], [cause])

    def test_a_revision_of_the_future_is_told_as_informers_read_it(self):
        answer = self.call("GET", CONFIGMAPS + "?resourceVersion=999999999")
        self.refused(answer, 504, "Timeout", "Too large resource version")
        details = answer.json["details"]
        self.assertEqual(
            details["causes"],
            [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        )
        self.assertEqual((details["retryAfterSeconds"], answer.headers["Retry-After"]), (1, "1"))

    def test_a_patch_that_fails_is_told_without_details(self):
        # kubectl prints the message of a 422 only when it has neither details nor causes.
        self.create("tested")
        headers = {"Content-Type": "application/json-patch+json"}
        body = json.dumps([{"op": "test", "path": "/data/a", "value": "1"}])
        answer = self.call("PATCH", CONFIGMAPS + "/tested", body, headers=headers)
        self.refused(answer, 422, "Invalid", 'path "/data/a"')
        self.assertNotIn("details", answer.json)


class Expiry(ApiTest):
    """What asks for history that is gone: 410 Expired, and how to go on."""

    def test_pages_watches_and_lists_of_the_past_expire(self):
        for i in range(6):
            self.create(f"e{i}")
        first = self.call("GET", CONFIGMAPS + "?limit=2").json
        old, token = first["metadata"]["resourceVersion"], first["metadata"]["continue"]
        page = f"{CONFIGMAPS}?limit=2&continue={token}"
        self.assertEqual(self.call("GET", page).revision, old)
        newest = self.create("e9")["metadata"]["resourceVersion"]
        self.call("DELETE", CONFIGMAPS + "/e3")
        self.server.compact(newest)
        answer = self.call("GET", page)
        self.refused(answer, 410, "Expired", "continue parameter is too old")
        again = answer.json["metadata"]["continue"]
        rest = self.call("GET", f"{CONFIGMAPS}?continue={again}").json
        names = [item["metadata"]["name"] for item in rest["items"]]
        self.assertEqual(names, ["e2", "e4", "e5", "e9"])  # the same place, the present revision
        self.assertGreater(int(rest["metadata"]["resourceVersion"]), int(newest))
        answer = self.call("GET", f"{CONFIGMAPS}?watch=true&resourceVersion={old}")
        self.refused(answer, 410, "Expired", f"too old resource version: {old} ({newest})")
        exact = f"{CONFIGMAPS}?resourceVersion={old}&resourceVersionMatch=Exact"
        self.refused(self.call("GET", exact), 410, "Expired", "too old")
        answer = self.call("GET", f"{CONFIGMAPS}?resourceVersion={old}")
        self.assertEqual(answer.code, 200, "not older than that is what there is")

    def test_the_id_of_a_new_member_is_the_clusters_to_give(self):
        body = {"id": 7, "name": "s7", "peerAddress": "127.0.0.1:7"}
        answer = self.call("POST", "/tutti/v1/cluster/members", body)
        self.refused(answer, 400, "BadRequest", "the cluster gives the id")

    def test_a_token_that_nobody_gave_is_a_bad_request(self):
        for token in ("x", "MSAxMA", "Zm9vIDEgYQ"):
            answer = self.call("GET", f"{CONFIGMAPS}?limit=2&continue={token}")
            self.refused(answer, 400, "BadRequest", "continue key is not valid")


if __name__ == "__main__":
    api_test.main("__main__", __doc__)
