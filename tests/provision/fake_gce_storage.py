"""Buckets and what is in them, for tests/provision/fake_gce.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email import message_from_bytes
from typing import Any
from urllib.parse import unquote

from tests.provision.fake_gce import Answer, FakeGce
from tests.provision.fake_gce_identity import find
from tests.provision.fake_gce_routes import on

BUCKET = "/storage/v1/b/(?P<name>[^/]+)"
OBJECT = BUCKET + "/o/(?P<key>[^/]+)"
Query = Mapping[str, str]


@on("GET", "/storage/v1/b")
def _buckets(fake: FakeGce, query: Query, body: Any) -> Any:
    """Those of the project alone."""
    return {"items": [one for name, one in fake.buckets.items() if name.startswith(query.get("prefix", ""))]}


@on("POST", "/storage/v1/b")
def _new_bucket(fake: FakeGce, query: Query, body: Any) -> Any:
    if body["name"] in fake.strangers:
        raise Answer(409, "conflict", "The requested bucket name is not available.")
    if body["name"] in fake.buckets:
        raise Answer(409, "conflict", "Your previous request to create the named bucket succeeded")
    fake.buckets[body["name"]] = {"kind": "storage#bucket", "iam": {"version": 1, "etag": "b", "bindings": []}, **body}
    return fake.buckets[body["name"]]


@on("GET", BUCKET)
def _bucket(fake: FakeGce, query: Query, body: Any, name: str) -> Any:
    return find(fake.buckets, name)


@on("PATCH", BUCKET)
def _change_bucket(fake: FakeGce, query: Query, body: Any, name: str) -> Any:
    find(fake.buckets, name).update(body)
    return fake.buckets[name]


@on("DELETE", BUCKET)
def _drop_bucket(fake: FakeGce, query: Query, body: Any, name: str) -> Any:
    if any(bucket == name for bucket, _ in fake.objects):
        raise Answer(409, "conflict", "The bucket you tried to delete is not empty.")
    find(fake.buckets, name)
    del fake.buckets[name]
    return None


@on("GET", BUCKET + "/iam")
def _bucket_policy(fake: FakeGce, query: Query, body: Any, name: str) -> Any:
    return find(fake.buckets, name)["iam"]


@on("PUT", BUCKET + "/iam")
def _set_bucket_policy(fake: FakeGce, query: Query, body: Any, name: str) -> Any:
    find(fake.buckets, name)["iam"] = {**body, "etag": "c"}
    return fake.buckets[name]["iam"]


@on("GET", BUCKET + "/o")
def _objects(fake: FakeGce, query: Query, body: Any, name: str) -> Any:
    found = [key for bucket, key in fake.objects if bucket == name and key.startswith(query.get("prefix", ""))]
    return {"items": [_shown(fake, name, key) for key in found]} if found else {}


@on("GET", OBJECT)
def _object(fake: FakeGce, query: Query, body: Any, name: str, key: str) -> Any:
    _content(fake, name, unquote(key))
    return _shown(fake, name, unquote(key))


@on("GET", "/download" + OBJECT)
def _download(fake: FakeGce, query: Query, body: Any, name: str, key: str) -> bytes:
    return _content(fake, name, unquote(key))


@on("POST", "/upload" + BUCKET + "/o")
def _upload(fake: FakeGce, query: Query, body: bytes, name: str) -> Any:
    """An object in one request: what it is called, and what is in it."""
    if query["uploadType"] != "multipart":
        raise Answer(400, "invalid", "the fake takes uploads in one request only")
    find(fake.buckets, name)
    boundary = body.split(b"\r\n", 1)[0].removeprefix(b"--")
    document = message_from_bytes(b'Content-Type: multipart/related; boundary="' + boundary + b'"\r\n\r\n' + body)
    described, content = document.get_payload()
    key = json.loads(described.get_payload(decode=True))["name"]  # type: ignore[union-attr, arg-type]
    whole = body.rpartition(b"\r\n--" + boundary + b"--")[0]
    del content  # The parser takes a last line end away: the bytes are cut out here.
    fake.objects[name, key] = whole.split(b"\r\n\r\n", 2)[2]
    return _shown(fake, name, key)


@on("DELETE", OBJECT)
def _drop_object(fake: FakeGce, query: Query, body: Any, name: str, key: str) -> Any:
    _content(fake, name, unquote(key))
    del fake.objects[name, unquote(key)]
    return None


def _content(fake: FakeGce, bucket: str, key: str) -> bytes:
    if (bucket, key) not in fake.objects:
        raise Answer(404, "notFound", f"No such object: {bucket}/{key}")
    return fake.objects[bucket, key]


def _shown(fake: FakeGce, bucket: str, key: str) -> dict[str, Any]:
    return {"name": key, "bucket": bucket, "generation": "1", "size": str(len(fake.objects[bucket, key]))}
