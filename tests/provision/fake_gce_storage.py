"""Buckets and what is in them, for tests/provision/fake_gce.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from tests.provision.fake_gce import MACHINE_TOKEN, Answer, FakeGce
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
    """What is known of it; with alt=media the content, as a machine asks for it without Google's libraries."""
    if query.get("alt") != "media":
        return _shown(fake, name, unquote(key))
    if query["authorization"] != f"Bearer {MACHINE_TOKEN}":
        raise Answer(401, "required", "Anonymous caller does not have storage.objects.get access")
    return _content(fake, name, unquote(key))


@on("GET", "/computeMetadata/v1/instance/service-accounts/default/token")
def _machines_token(fake: FakeGce, query: Query, body: Any) -> Any:
    """Of the metadata service on each machine."""
    return {"access_token": MACHINE_TOKEN, "expires_in": 3599, "token_type": "Bearer"}


@on("GET", "/download" + OBJECT)
def _download(fake: FakeGce, query: Query, body: Any, name: str, key: str) -> bytes:
    content = _content(fake, name, unquote(key))
    first, _, last = query["range"].removeprefix("bytes=").partition("-")
    if first and int(first) >= len(content):
        raise Answer(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
    return content[int(first or 0) : int(last) + 1 if last else None]


@on("POST", OBJECT + "/rewriteTo/b/(?P<other>[^/]+)/o/(?P<target>[^/]+)")
def _rewrite(fake: FakeGce, query: Query, body: Any, name: str, key: str, other: str, target: str) -> Any:
    content = _content(fake, name, unquote(key))
    if query.get("ifSourceGenerationMatch") not in (None, _shown(fake, name, unquote(key))["generation"]):
        raise Answer(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
    _put(fake, other, unquote(target), content)
    size = str(len(content))
    return {"done": True, "totalBytesRewritten": size, "objectSize": size, "resource": _shown(fake, other, target)}


@on("POST", "/upload" + BUCKET + "/o")
def _upload(fake: FakeGce, query: Query, body: bytes, name: str) -> Any:
    """An object in one request: what it is called, and what is in it."""
    if query["uploadType"] != "multipart":
        raise Answer(400, "invalid", "the fake takes uploads in one request only")
    find(fake.buckets, name)
    boundary = b"\r\n--" + body.split(b"\r\n", 1)[0].removeprefix(b"--")
    _, described, content = (b"\r\n" + body).rpartition(boundary + b"--")[0].split(boundary, 2)
    key = json.loads(described.partition(b"\r\n\r\n")[2])["name"]
    if query.get("ifGenerationMatch") == "0" and (name, key) in fake.objects:
        raise Answer(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
    _put(fake, name, key, content.partition(b"\r\n\r\n")[2])
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


def _put(fake: FakeGce, bucket: str, key: str, content: bytes) -> None:
    fake.objects[bucket, key] = content
    fake.written[bucket, key] = (str(fake.new_id()), fake.clock())


def _shown(fake: FakeGce, bucket: str, key: str) -> dict[str, Any]:
    size = len(_content(fake, bucket, key))
    generation, at = fake.written.get((bucket, key), ("1", fake.clock()))
    updated = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return {"name": key, "bucket": bucket, "generation": generation, "size": str(size), "updated": updated}
