"""The two kinds of buckets against servers that speak like them: conditions, addresses, lifecycle rules, errors."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import threading
import traceback
import urllib.request
from pathlib import Path

import httpx
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from botocore.parsers import ResponseParserError
from google.api_core import exceptions as google
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage

from blendnet.errors import BlendNetError, Conflict, FarmError, NotFound, StoreRefused, StoreUnreachable
from blendnet.storage import gcs_errors, s3, s3_errors, stores
from blendnet.storage.bucket import ObjectBucket
from blendnet.storage.gcs import GcsBucket
from blendnet.storage.s3 import S3Bucket
from tests.provision.fake_gce import FakeGce
from tests.storage.gcs_bucket import Gcs
from tests.storage.moto_bucket import Moto

BYTES = "application/octet-stream"
"""What every upload is called. Python's urllib calls one without a type a form, of which moto stores nothing."""
DATA = bytes(range(256)) * 1000


def write(bucket: ObjectBucket, folder: Path, key: str, data: bytes, *, replace: bool = False) -> bool:
    path = folder / "file"
    path.write_bytes(data)
    return bucket.put(key, path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), replace=replace)


def read(bucket: ObjectBucket, key: str, offset: int = 0) -> bytes:
    with bucket.stream(key, offset=offset) as body:
        return body.read()


def test_object_is_described_and_read_from_any_byte(any_bucket: ObjectBucket, tmp_path: Path) -> None:
    assert any_bucket.head("a/b") is None
    assert write(any_bucket, tmp_path, "a/b", DATA)
    info = any_bucket.head("a/b")
    assert info is not None
    assert (info.key, info.size_bytes) == ("a/b", len(DATA))
    assert read(any_bucket, "a/b") == DATA
    assert read(any_bucket, "a/b", 200_000) == DATA[200_000:]
    with pytest.raises(NotFound):
        any_bucket.stream("a/c")


def test_only_what_is_below_the_prefix_is_listed_and_deleted(any_bucket: ObjectBucket, tmp_path: Path) -> None:
    keys = [f"a/{number}" for number in range(5)]
    for key in [*keys, "b/1"]:
        write(any_bucket, tmp_path, key, key.encode())
    assert sorted(info.key for info in any_bucket.objects("a/")) == keys
    any_bucket.delete([*keys[1:], "a/nothing"])
    any_bucket.delete(["a/nothing"])
    any_bucket.delete([])
    assert [info.key for info in any_bucket.objects("")] == ["a/0", "b/1"]


def test_object_is_replaced_only_when_asked(aws: Moto, tmp_path: Path) -> None:
    bucket = aws.open(aws.bucket())
    assert write(bucket, tmp_path, "key", b"first")
    assert not write(bucket, tmp_path, "key", b"other")
    assert read(bucket, "key") == b"first"
    assert write(bucket, tmp_path, "key", b"other", replace=True)
    assert read(bucket, "key") == b"other"


def test_object_of_google_is_replaced_only_when_asked(tmp_path: Path) -> None:
    """The emulator heeds no condition; this fake does, as Google."""
    with FakeGce().served() as fake:
        bucket = Gcs(fake.url).open(Gcs(fake.url).bucket())
        assert write(bucket, tmp_path, "key", b"first")
        assert not write(bucket, tmp_path, "key", b"other")
        assert read(bucket, "key") == b"first"
        assert write(bucket, tmp_path, "key", b"other", replace=True)
        assert read(bucket, "key") == b"other"


def test_large_file_goes_up_in_parts_and_leaves_none_when_refused(
    aws: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "ONE_PUT_BYTES", 1 << 20)
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)
    name = aws.bucket()
    bucket = aws.open(name)
    data = bytes(range(256)) * (12 << 12)  # 12 MiB in parts of 5.
    assert write(bucket, tmp_path, "key", data)
    assert read(bucket, "key") == data
    assert not write(bucket, tmp_path, "key", data[::-1])
    assert read(bucket, "key") == data
    assert aws.client.list_multipart_uploads(Bucket=name).get("Uploads", []) == []


def test_copy_is_made_of_the_version_that_was_seen(any_bucket: ObjectBucket, tmp_path: Path) -> None:
    write(any_bucket, tmp_path, "one", DATA)
    seen = any_bucket.head("one")
    assert seen is not None
    any_bucket.copy("one", "two", version=seen.version)
    assert read(any_bucket, "two") == DATA
    write(any_bucket, tmp_path, "one", b"new", replace=True)
    with pytest.raises(Conflict):
        any_bucket.copy("one", "three", version=seen.version)
    assert any_bucket.head("three") is None


def test_address_lets_anybody_read_the_one_object(any_bucket: ObjectBucket, tmp_path: Path) -> None:
    write(any_bucket, tmp_path, "one", DATA)
    signed = any_bucket.get_url("one", 60)
    assert signed is not None
    assert signed.expires_s == 60
    with httpx.Client(trust_env=False) as http:
        assert http.get(signed.url).content == DATA
        part = http.get(signed.url, headers={"Range": "bytes=1000-"})
    assert (part.status_code, part.content) == (206, DATA[1000:])


def test_address_lets_anybody_write_the_one_object(any_bucket: ObjectBucket) -> None:
    signed = any_bucket.put_url("incoming/one", 60, size_bytes=len(DATA))
    assert signed is not None
    assert signed.headers["Content-Type"] == BYTES
    with httpx.Client(trust_env=False) as http:
        assert http.put(signed.url, content=DATA, headers=dict(signed.headers)).is_success
    assert read(any_bucket, "incoming/one") == DATA


def test_whoever_writes_to_an_address_with_urllib_has_all_of_it_stored(aws: Moto) -> None:
    bucket = aws.open(aws.bucket())
    signed = bucket.put_url("incoming/one", 60, size_bytes=len(DATA))
    assert signed is not None
    request = urllib.request.Request(signed.url, DATA, dict(signed.headers), method="PUT")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        assert answer.status == 200
    assert read(bucket, "incoming/one") == DATA


def test_addresses_of_s3_are_signed_in_the_new_way_and_bind_type_size_and_absence(aws: Moto) -> None:
    bucket = aws.open(aws.bucket())
    for signed in (bucket.get_url("one", 900), bucket.put_url("one", 900, size_bytes=7)):
        assert signed is not None
        query = httpx.URL(signed.url).params
        assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
        assert query["X-Amz-Expires"] == "900"
    assert set(query["X-Amz-SignedHeaders"].split(";")) >= {"content-length", "content-type", "if-none-match"}


def test_addresses_of_google_are_signed_in_the_new_way_and_bind_type_size_and_absence(gcs: Gcs) -> None:
    """The emulator heeds neither the end of an address nor what it binds: Google does, when it is signed."""
    bucket = gcs.open(gcs.bucket())
    reading, writing = bucket.get_url("one", 900), bucket.put_url("one", 900, size_bytes=7)
    assert reading is not None
    assert writing is not None
    for signed in (reading, writing):
        query = httpx.URL(signed.url).params
        assert query["X-Goog-Algorithm"] == "GOOG4-RSA-SHA256"
        assert query["X-Goog-Expires"] == "900"
        assert set(query["X-Goog-SignedHeaders"].split(";")) >= {name.lower() for name in signed.headers}
    bound = {"Content-Type": BYTES, "x-goog-content-length-range": "7,7", "x-goog-if-generation-match": "0"}
    assert bound.items() <= writing.headers.items()


def test_address_to_write_cannot_be_used_twice(aws: Moto) -> None:
    bucket = aws.open(aws.bucket())
    signed = bucket.put_url("incoming/one", 60, size_bytes=5)
    assert signed is not None
    with httpx.Client(trust_env=False) as http:
        assert http.put(signed.url, content=b"first", headers=dict(signed.headers)).is_success
        assert http.put(signed.url, content=b"other", headers=dict(signed.headers)).status_code == 412
    assert read(bucket, "incoming/one") == b"first"


def test_lifecycle_rules_are_added_once_and_others_stay(aws: Moto) -> None:
    name = aws.bucket()
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}}
    aws.client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [theirs]})
    bucket = aws.open(name, "farm")
    for days in (2, 2, 3):
        bucket.ensure_lifecycle("incoming/", days)
    rules = aws.client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    found = {rule["ID"]: rule for rule in rules}
    assert len(rules) == len(found) == 3
    assert found["theirs"] == theirs
    assert found["blendnet farm/incoming/"]["Filter"] == {"Prefix": "farm/incoming/"}
    assert found["blendnet farm/incoming/"]["Expiration"] == {"Days": 3}
    assert found["blendnet parts farm/"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 3}


def test_lifecycle_rules_of_google_are_added_once_and_others_stay(gcs: Gcs) -> None:
    name = gcs.bucket()
    bucket = gcs.client.get_bucket(name)
    bucket.add_lifecycle_delete_rule(age=30, matches_prefix=["logs/"])
    bucket.patch()
    for _ in range(2):
        gcs.open(name, "farm").ensure_lifecycle("incoming/", 2)
    rules = [dict(rule) for rule in gcs.client.get_bucket(name).lifecycle_rules]
    assert [rule["condition"]["matchesPrefix"] for rule in rules] == [["logs/"], ["farm/incoming/"], ["farm/"]]


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_missing_bucket_is_named_and_never_taken_for_a_missing_object(
    kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "s3":
        request.getfixturevalue("aws")
        bucket: ObjectBucket = S3Bucket("no-such-bucket", "farm")
    else:
        bucket = request.getfixturevalue("gcs").open("no-such-bucket", "farm")
    for call in (bucket.check, lambda: bucket.head("key"), lambda: list(bucket.objects(""))):
        with pytest.raises(StoreRefused, match="there is no bucket"):
            call()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_server_that_is_away_is_waited_for(kind: str, aws: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setattr("blendnet.storage.gcs._UNCHANGED", {"timeout": 1.0, "retry": None})
    bucket: ObjectBucket = S3Bucket("bucket") if kind == "s3" else Gcs(url).open("bucket")
    for call in (bucket.check, lambda: bucket.head("key")):
        with pytest.raises(StoreUnreachable, match="does not answer"):
            call()
    assert not [thread.name for thread in threading.enumerate() if "_background" in thread.name]


def answered(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (answered("AccessDenied", 403), StoreRefused, "refuses s3:PutObject: allow it"),
        (answered("403", 403), StoreRefused, "allow it to the Manager's role"),
        (answered("NoSuchBucket", 404), StoreRefused, "aws s3 mb s3://mine"),
        (answered("PermanentRedirect", 301), StoreRefused, "AWS_DEFAULT_REGION"),
        (answered("AuthorizationHeaderMalformed"), StoreRefused, "another region"),
        (answered("InvalidAccessKeyId", 403), StoreRefused, "credentials"),
        (answered("RequestTimeTooSkewed", 403), StoreRefused, "clock"),
        (answered("XMinioStorageFull", 507), StoreRefused, "blendnet gc"),
        (answered("SlowDown", 503), StoreUnreachable, "waits"),
        (answered("InternalError", 500), StoreUnreachable, "waits"),
        (answered("NoSuchKey", 404), NotFound, "no such object"),
        (answered("PreconditionFailed", 412), Conflict, "changed"),
        (answered("SomethingNew"), StoreRefused, "SomethingNew"),
        (NoCredentialsError(), StoreRefused, "no AWS credentials"),
        (EndpointConnectionError(endpoint_url="https://s3/x?X-Amz-Signature=ab"), StoreUnreachable, "does not answer"),
        (ResponseParserError("a page"), StoreUnreachable, "does not answer: a page"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str | Exception) else "",
)  # fmt: skip
def test_error_of_s3_says_what_to_do(error: Exception, kind: type[BlendNetError], words: str) -> None:
    found = s3_errors.described(error, "s3://mine/farm", "s3:PutObject")
    assert type(found) is kind
    assert words in str(found)
    assert "Signature" not in str(found)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (google.Forbidden("no"), StoreRefused, "allow it to the Manager's service account"),
        (google.NotFound("The specified bucket does not exist."), StoreRefused, "gcloud storage buckets create"),
        (google.NotFound("No such object: mine/key"), NotFound, "no such object"),
        (google.Unauthorized("no"), StoreRefused, "renew"),
        (google.TooManyRequests("slow"), StoreUnreachable, "waits"),
        (google.ServiceUnavailable("later"), StoreUnreachable, "waits"),
        (google.RetryError("tired", ValueError()), StoreUnreachable, "waits"),
        (google.PreconditionFailed("there"), Conflict, "changed"),
        (DefaultCredentialsError("none"), StoreRefused, "gcloud auth application-default login"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_error_of_google_says_what_to_do(error: Exception, kind: type[BlendNetError], words: str) -> None:
    found = gcs_errors.described(error, "gs://mine/farm", "storage.objects.create")
    assert type(found) is kind
    assert words in str(found)


def test_key_of_google_in_an_error_is_neither_said_nor_logged() -> None:
    unread = UnicodeDecodeError("utf-8", b"\xff words of a key", 0, 1, "invalid start byte")
    bucket = GcsBucket("mine", client=storage.Client(project="p", credentials=AnonymousCredentials()))
    with pytest.raises(StoreRefused, match=r"File k is not a valid json file") as caught, bucket._errors("any"):
        raise DefaultCredentialsError("File k is not a valid json file.", unread) from unread
    assert "words of a key" not in "".join(traceback.format_exception(caught.value))


def test_settings_that_cannot_be_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.json").write_text("[]")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:4566")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with pytest.raises(StoreRefused, match="GOOGLE_APPLICATION_CREDENTIALS"):
        GcsBucket("mine")
    with pytest.raises(StoreRefused, match=r"Invalid endpoint: localhost:4566\. AWS_ENDPOINT_URL"):
        S3Bucket("mine")


def open_store(url: str, folder: Path) -> object:
    return stores.open_store(url, folder, cache_bytes=1, url_s=60, direct_from_bytes=0)


@pytest.mark.parametrize("url", ["ftp://bucket", "s3://", "bucket", "s3:bucket", "/somewhere"])
def test_wrong_address_of_a_store_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(FarmError, match="s3://BUCKET/PREFIX"):
        open_store(url, tmp_path)


@pytest.mark.parametrize(("url", "extra", "package"), [("s3://b", "aws", "boto3"), ("gs://b", "gcp", "google.cloud")])
def test_missing_sdk_is_named_with_the_command_that_installs_it(
    url: str, extra: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name for name in sys.modules if name.startswith("blendnet.storage.") and name[17:].startswith(("s3", "gcs"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FarmError, match=rf"pip install 'blendnet\[{extra}\]'"):
        open_store(url, tmp_path)


def test_address_names_bucket_and_prefix(aws: Moto, tmp_path: Path) -> None:
    store = stores.open_store("s3://mine/a/b/", tmp_path, cache_bytes=1, url_s=60, direct_from_bytes=0)
    assert store.place == "s3://mine/a/b"


def test_local_store_loads_no_sdk(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from blendnet.settings import Settings;"
        "from blendnet.manager.jobs import open_farm;"
        f"open_farm(Settings(data=Path({str(tmp_path)!r}))).ledger.close();"
        "print([n for n in sys.modules if n.partition('.')[0] in ('boto3', 'botocore', 'google')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_gcs_cannot_sign_without_a_key(gcs: Gcs) -> None:
    bucket = GcsBucket(gcs.bucket(), client=gcs.client)
    assert bucket.get_url("key", 60) is None
    assert bucket.put_url("key", 60, size_bytes=1) is None
