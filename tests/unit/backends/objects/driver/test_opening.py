"""From a URL, options and the environment to a bucket: the requests, their addresses and their credentials."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import InvalidError, UnavailableError, UnsupportedError
from stowfast.aws import S3MessageStore
from stowfast.backends.objects.driver import amazon, azure, google
from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.driver.options import SCHEMES, Options
from stowfast.backends.objects.protocol.requests import ABSENT, Get, Put
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stowfast.backends.objects.driver.store import BucketClient
    from tests.services.faulty_s3 import wire

    Opener = Callable[..., BucketClient]
    Seen = list[wire.Request]

SECRET = "s3cr3t-of-the-tests"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of the user, and none of this machine."""
    for variable in list(os.environ):
        if variable.startswith(("AWS_", "AZURE_", "AZURITE_", "GOOGLE_")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def seen() -> Seen:
    return []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, seen: Seen) -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        perform = server._perform

        def look(request: wire.Request, record: wire.Record) -> wire.Answer:
            seen.append(request)
            return perform(request, record)

        monkeypatch.setattr(server, "_perform", look)
        yield server


@pytest.fixture
def opener() -> Iterator[Opener]:
    opened: list[BucketClient] = []

    def make(url: str, **options: Any) -> BucketClient:
        opened.append(open_store(url, **options))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The configuration of the drivers, for stores without a server of ours."""
    made: list[dict[str, Any]] = []

    def driver(bucket: str, **config: Any) -> object:
        made.append({"bucket": bucket, **config})
        return object()

    monkeypatch.setattr(amazon, "S3Store", driver)
    monkeypatch.setattr(google, "GCSStore", driver)
    monkeypatch.setattr(azure, "AzureStore", driver)
    return made


def key_of(request: wire.Request) -> str:
    return request.headers["authorization"].partition("Credential=")[2].partition("/")[0]


def region_of(request: wire.Request) -> str:
    return request.headers["authorization"].partition("Credential=")[2].split("/")[2]


# --- S3: where the credentials come from


def test_the_environment_is_enough(
    opener: Opener, server: FaultyS3, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "its-token")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    assert opener("s3://bucket/agents/prod/").perform(Put("h/a", b"1", ABSENT)) is not None
    assert list(server.objects) == ["agents/prod/h/a"]
    assert (key_of(seen[0]), region_of(seen[0])) == ("from-environment", "us-east-1")
    assert seen[0].headers["x-amz-security-token"] == "its-token"


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_what_is_given_goes_before_the_environment(
    name: str, opener: Opener, server: FaultyS3, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-another-key")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
    monkeypatch.setenv(name, "eu-north-1")
    keys = {"access_key_id": "given", "secret_access_key": SECRET, "endpoint_url": server.endpoint}
    opener("s3://bucket", **keys).perform(Put("h/a", b"1", ABSENT))
    opener("s3://bucket", **keys, session_token="given-token", region="ap-east-1").perform(Get("h/a"))
    assert list(server.objects) == ["h/a"]
    assert [key_of(request) for request in seen] == ["given", "given"]
    assert [request.headers.get("x-amz-security-token") for request in seen] == [None, "given-token"]
    assert [region_of(request) for request in seen] == ["eu-north-1", "ap-east-1"]


def test_without_a_signature_no_credentials_are_needed(opener: Opener, server: FaultyS3, seen: Seen) -> None:
    opener("s3://bucket", endpoint_url=server.endpoint, anonymous="true").perform(Get("h/a"))
    assert "authorization" not in seen[0].headers


def write_profiles(home: Path) -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text(
        f"[default]\naws_access_key_id = of-default\naws_secret_access_key = {SECRET}\n"
        f"[work]\naws_access_key_id = of-work\naws_secret_access_key = {SECRET}\n"
    )
    (home / ".aws" / "config").write_text("[profile work]\nregion = eu-west-3\n[profile empty]\nregion = eu-west-3\n")


def test_profiles_are_read_as_the_tools_of_aws_read_them(
    opener: Opener, server: FaultyS3, seen: Seen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_profiles(tmp_path)
    opener("s3://bucket", endpoint_url=server.endpoint).perform(Get("a"))
    opener("s3://bucket", endpoint_url=server.endpoint, profile="work").perform(Get("a"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    opener("s3://bucket", endpoint_url=server.endpoint, region="us-west-2").perform(Get("a"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    opener("s3://bucket", endpoint_url=server.endpoint).perform(Get("a"))
    monkeypatch.delenv("AWS_PROFILE")
    opener("s3://bucket", endpoint_url=server.endpoint, profile="work").perform(Get("a"))
    assert [(key_of(request), region_of(request)) for request in seen] == [
        ("of-default", "us-east-1"),
        ("of-work", "eu-west-3"),
        ("of-work", "us-west-2"),
        ("from-environment", "us-east-1"),
        ("of-work", "eu-west-3"),
    ]


@pytest.mark.parametrize(("profile", "says"), [("nope", "it has .*work"), ("empty", "it has no credentials")])
def test_a_profile_that_cannot_be_used_is_said(profile: str, says: str, opener: Opener, tmp_path: Path) -> None:
    write_profiles(tmp_path)
    with pytest.raises(InvalidError, match=f"^profile= or AWS_PROFILE: .*{says}"):
        opener("s3://bucket", profile=profile)


def test_without_boto3_only_a_profile_that_was_asked_for_is_an_error(
    opener: Opener, drivers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_profiles(tmp_path)
    monkeypatch.setitem(sys.modules, "boto3", None)
    opener("s3://bucket")
    assert drivers[0]["credential_provider"] is None  # the driver looks for the machine's role
    with pytest.raises(UnsupportedError, match=r"pip install 'stowfast\[aws\]'"):
        opener("s3://bucket", profile="work")
    monkeypatch.setenv("AWS_PROFILE", "work")
    with pytest.raises(UnsupportedError, match=r"pip install 'stowfast\[aws\]'"):
        opener("s3://bucket")


def test_at_an_endpoint_of_one_s_own_credentials_must_be_given(opener: Opener, server: FaultyS3) -> None:
    with pytest.raises(InvalidError, match="AWS_ACCESS_KEY_ID"):
        opener("s3://bucket", endpoint_url=server.endpoint)


# --- S3: where it is


@pytest.mark.parametrize(
    ("bucket", "options", "endpoint", "path_style"),
    [
        ("bucket", {}, None, False),
        ("with.dots", {}, None, True),
        ("bucket", {"path_style": True}, None, True),
        ("bucket", {"endpoint_url": "http://10.0.0.1:9000"}, "http://10.0.0.1:9000", True),
        ("bucket", {"endpoint_url": "https://minio.example/"}, "https://minio.example", True),
        ("bucket", {"endpoint_url": "https://s.example", "path_style": "no"}, "https://bucket.s.example", False),
        (
            "bucket",
            {"endpoint_url": "https://s3.eu-west-1.amazonaws.com"},
            "https://bucket.s3.eu-west-1.amazonaws.com",
            False,
        ),
    ],
)
def test_a_bucket_is_a_part_of_the_path_or_of_the_host(
    bucket: str, options: Any, endpoint: str | None, path_style: bool, opener: Opener, drivers: list[dict[str, Any]]
) -> None:
    opener(f"s3://{bucket}/p", **options, access_key_id="k", secret_access_key=SECRET)
    for made in drivers:
        assert made["bucket"] == bucket
        assert made["prefix"] == "p"
        assert made.get("aws_endpoint_url_s3") == endpoint
        assert made["virtual_hosted_style_request"] is not path_style
        assert made["client_options"]["allow_http"] == (endpoint or "").startswith("http:")


def test_a_store_that_allows_one_write_a_second_sets_the_pace(opener: Opener, drivers: list[dict[str, Any]]) -> None:
    keys = {"access_key_id": "k", "secret_access_key": SECRET}
    assert opener("s3://bucket", **keys, endpoint_url="https://account.r2.cloudflarestorage.com").pace == 1.05
    assert opener("s3://bucket", **keys).pace == 0
    assert drivers


def test_what_is_conditional_goes_through_a_driver_that_repeats_nothing(
    opener: Opener, drivers: list[dict[str, Any]]
) -> None:
    opener("s3://bucket", access_key_id="k", secret_access_key=SECRET, timeout="60")
    once, patient = (made["retry_config"]["max_retries"] for made in drivers)
    assert (once, patient > 0) == (0, True)
    assert [made["client_options"]["read_timeout"].total_seconds() for made in drivers] == [10, 20]


def test_s3_options_reach_the_driver(opener: Opener, drivers: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"-----BEGIN CERTIFICATE-----")
    opener("s3://zonal--use1-az4--x-s3", sse_kms_key_id="arn:of-key", ca_bundle=str(tmp_path / "ca.pem"))
    assert drivers[0]["server_side_encryption"] == "aws:kms"
    assert drivers[0]["sse_kms_key_id"] == "arn:of-key"
    assert drivers[0]["s3_express"] is True
    assert drivers[0]["client_options"]["root_certificate"].startswith(b"-----BEGIN")


# --- Google and Azure


def test_google_s_options_reach_the_driver(opener: Opener, drivers: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("{}")
    store = opener("gs://bucket/p", service_account=str(tmp_path / "key.json"), endpoint_url="http://127.0.0.1:4443")
    assert store.pace == 1.05
    assert opener("gs://bucket", pace="0").pace == 0
    assert (drivers[0]["bucket"], drivers[0]["prefix"]) == ("bucket", "p")
    assert drivers[0]["service_account"] == str(tmp_path / "key.json")
    assert drivers[0]["base_url"] == "http://127.0.0.1:4443"


def test_azure_s_options_reach_the_driver(
    opener: Opener, drivers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opener("az://container/p", account_name="acct", account_key="KEY-OF-TESTS")
    assert drivers[0]["account_name"] == "acct"
    assert drivers[0]["credential_provider"]() == {"access_key": "KEY-OF-TESTS", "expires_at": None}
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "of-environment")
    opener("az://container/p", sas_token="?sv=1&sig=2")
    assert drivers[2]["account_name"] == "of-environment"
    assert drivers[2]["credential_provider"]()["sas_token"] == "sv=1&sig=2"
    opener("az://container/p", use_emulator="yes")
    assert drivers[4]["use_emulator"] is True
    assert "credential_provider" not in drivers[4]


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("gs://bucket", {"anonymous": True}),
        ("az://container", {"account_name": "acct", "account_key": "a2V5LW9mLXRlc3Rz"}),
        ("az://container", {"account_name": "acct", "sas_token": "sv=1&sig=SECRET-SIGNATURE"}),
        ("az://container", {"account_name": "acct", "anonymous": True}),
    ],
)
def test_the_other_clouds_drivers_take_what_they_are_given(url: str, options: Any, opener: Opener) -> None:
    store = opener(url, **options, endpoint_url="http://127.0.0.1:1", timeout=0.3)
    with pytest.raises(UnavailableError, match="cannot connect") as caught:
        store.perform(Get("h/a"))
    assert "SECRET" not in str(caught.value) + str(caught.value.__cause__)


# --- what is wrong


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3:", "s3://bucket/prefix"),
        ("s3:bucket", "s3://bucket/prefix"),
        ("http://bucket", "gs://bucket/prefix"),
        ("s3://", "name of the bucket is missing"),
        ("s3:///prefix", "name of the bucket is missing"),
        ("s3://b", "the name of a bucket has letters"),
        ("s3://buc ket", "the name of a bucket has letters"),
        ("s3://-bucket", "the name of a bucket has letters"),
        ("s3://bucket/a//b", "empty part"),
        ("s3://bucket/../b", r"\.\."),
        ("s3://bucket/a/./b", r"a \."),
        ("s3://bucket/a%2F..%2Fb", r"\.\."),
        ("s3://bucket/a%00b", "printable"),
        ("s3://bucket/%FF", "not UTF-8"),
        ("s3://bucket/%FE", "not UTF-8"),
        ("s3://bucket/%ED%A0%80", "not UTF-8"),
        ("s3://bucket/a\\b", "printable"),
        ("s3://bucket/" + "x" * 300, "256 bytes"),
        ("s3://bucket/p?region=x", "options"),
        ("s3://bucket/p#x", "#"),
        (f"s3://key:{SECRET}@bucket/p", "credentials"),
        (f"s3://key:{SECRET}@host:9000/p", "credentials"),
    ],
)
def test_a_wrong_url_is_said(url: str, says: str, opener: Opener) -> None:
    with pytest.raises(InvalidError, match=says) as caught:
        opener(url, access_key_id="k", secret_access_key="x")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("bucket", "prefix", "says"),
    [
        (5, "", "bucket must be a str, not int"),
        (b"bucket", "", "bucket must be a str, not bytes"),
        ("", "", "bucket must have 1 to"),
        ("bucket", 5, "prefix must be a str, not int"),
        ("bucket", b"x", "prefix must be a str, not bytes"),
        ("bucket", f"\ud800{SECRET}", "prefix has a lone surrogate"),
    ],
)
def test_a_bucket_or_prefix_that_is_no_text_is_said(bucket: Any, prefix: Any, says: str) -> None:
    with pytest.raises(InvalidError, match=says) as caught:
        S3MessageStore(bucket, prefix=prefix, anonymous=True)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("s3://bucket", None), ("s3://bucket/", None), ("s3://bucket//a/b//", "a/b"), ("s3://bucket/a%20b", "a b")],
)
def test_a_prefix_is_cleaned(url: str, prefix: str | None, opener: Opener, drivers: list[dict[str, Any]]) -> None:
    store = opener(url, access_key_id="k", secret_access_key="x")
    assert drivers[0]["prefix"] == prefix
    assert store.place.url == f"s3://bucket{f'/{prefix}' if prefix else ''}"


@pytest.mark.parametrize(
    ("url", "options", "says"),
    [
        ("s3://bucket", {"nope": 1}, "no option nope; it has region"),
        ("gs://bucket", {"region": "x"}, "no option region; it has service_account"),
        ("az://bucket", {"profile": "x"}, "no option profile; it has account_name"),
        ("s3://bucket", {"endpoint_url": "127.0.0.1:9000"}, "http://127.0.0.1:9000"),
        ("s3://bucket", {"endpoint_url": "ftp://host"}, "no address"),
        ("s3://bucket", {"endpoint_url": "http://"}, "no address"),
        ("s3://bucket", {"endpoint_url": "http://host:99999"}, "no address"),
        ("s3://bucket", {"endpoint_url": "http://ho st"}, "no address"),
        ("s3://bucket", {"endpoint_url": f"http://me:{SECRET}@host"}, "password"),
        ("s3://bucket", {"endpoint_url": "http://host?x=1"}, r"\?"),
        ("s3://bucket", {"access_key_id": "only"}, "secret_access_key"),
        ("s3://bucket", {"secret_access_key": SECRET}, "access_key_id"),
        ("s3://bucket", {"session_token": SECRET}, "session_token"),
        ("s3://bucket", {"access_key_id": "k", "secret_access_key": SECRET, "profile": "p"}, "profile"),
        ("s3://bucket", {"secret_access_key": 17}, "a text, not int"),
        ("s3://bucket", {"secret_access_key": ""}, "empty"),
        ("s3://bucket", {"path_style": "maybe"}, "true or false"),
        ("s3://bucket", {"timeout": "soon"}, "number of seconds"),
        ("s3://bucket", {"timeout": 0}, "number of seconds"),
        ("s3://bucket", {"pace": -1}, "number of seconds"),
        ("s3://bucket", {"linger": -0.1}, "linger: it is a number of seconds from 0 to 1$"),
        ("gs://bucket", {"linger": 1.1}, "linger: it is a number of seconds from 0 to 1$"),
        ("az://bucket", {"linger": "20ms"}, "linger: it is a number of seconds from 0 to 1$"),
        ("s3://bucket", {"timeout": "nan"}, "number of seconds"),
        (
            "s3://bucket",
            {"access_key_id": "k", "secret_access_key": SECRET, "ca_bundle": "/no/file"},
            "ca_bundle= .* No such file",
        ),
        ("gs://bucket", {"service_account": "/no/file"}, "service_account: there is no file"),
        ("gs://bucket", {"service_account": "/a", "application_credentials": "/b"}, "exclude"),
        ("az://bucket", {}, "account_name"),
        ("az://bucket", {"account_name": "a", "account_key": SECRET, "sas_token": SECRET}, "exclude"),
        (
            "az://bucket",
            {"account_name": "acct", "account_key": f"not base 64: {SECRET}"},
            "not base 64|refused|opening",
        ),
        ("az://bucket", {"use_emulator": True, "endpoint_url": "http://host"}, "use_emulator"),
    ],
)
def test_a_wrong_option_is_said(url: str, options: Any, says: str, opener: Opener) -> None:
    with pytest.raises(InvalidError, match=says) as caught:
        opener(url, **options).perform(Get("a"))
    assert SECRET not in str(caught.value) + str(caught.value.__cause__)


def test_every_scheme_s_options_are_options_and_none_is_forgotten() -> None:
    names = {field.name for field in dataclasses.fields(Options)}
    assert {name for options in SCHEMES.values() for name in options} == names


def test_options_show_no_secret() -> None:
    shown = repr(Options(secret_access_key=SECRET, session_token=SECRET, account_key=SECRET, sas_token=SECRET))
    assert SECRET not in shown
