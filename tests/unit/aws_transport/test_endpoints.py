"""Where the services are, as botocore's own rules say."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from coatcheck.aws_transport.endpoints import SERVICES, endpoint_at, regional_url
from coatcheck.aws_transport.environment import AwsEnvironment
from coatcheck.core.aws.call import Service

PARTITIONS = ("aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f")


@functools.cache
def session() -> Any:
    made = botocore.session.Session()
    made.set_credentials("id", "secret")
    return made


def regions() -> list[str]:
    of = [session().get_available_regions("dynamodb", partition_name=partition) for partition in PARTITIONS]
    return sorted({region for found in of for region in found})


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_of_each_region_it_is_botocores_or_it_is_not_known(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    known = 0
    for region in regions():
        url = regional_url(service, region)
        if url is not None:
            known += 1
            assert url == session().create_client(service, region_name=region).meta.endpoint_url
    assert known >= 35


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://sqs.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com", 443, "/"),
        ("http://127.0.0.1:4566", "127.0.0.1:4566", 4566, "/"),
        ("https://[::1]:8443/table", "[::1]:8443", 8443, "/table"),
        ("http://localhost:80/", "localhost", 80, "/"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, path: str) -> None:
    endpoint = endpoint_at(url)
    assert (endpoint.host, endpoint.port, endpoint.path) == (host, port, path)


@pytest.mark.parametrize("url", ["ftp://a", "127.0.0.1:4566", "http://", ""])
def test_what_is_no_url_of_an_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no http or https URL"):
        endpoint_at(url)


class NoSdk(Exception):
    """The SDK was asked."""


def environment(tmp_path: Path, **environ: str) -> AwsEnvironment:
    def make_session() -> Any:
        raise NoSdk

    return AwsEnvironment(environ, make_session, tmp_path, "certificates.pem")


LAMBDA = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "https://sqs.eu-west-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1"),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:2"},
            "http://127.0.0.1:2",
        ),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:2"}, "https://sqs.eu-west-1.amazonaws.com"),
        ({"AWS_CONFIG_FILE": "/dev/null"}, "https://sqs.eu-west-1.amazonaws.com"),
    ],
)
def test_the_environment_says_where_to_go(tmp_path: Path, environ: dict[str, str], url: str) -> None:
    found = environment(tmp_path, **LAMBDA, **environ)
    assert found.endpoint("sqs") == (endpoint_at(url), "eu-west-1")
    assert found.credentials().current().access_key == "id"


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
        {"AWS_PROFILE": "other"},
        {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        {"AWS_DEFAULT_REGION": ""},
        {"AWS_DEFAULT_REGION": "us-iso-east-1"},
        {"AWS_DEFAULT_REGION": "xx-new-1"},
    ],
    ids="".join,
)
def test_where_it_takes_more_rules_the_sdk_is_asked(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(NoSdk):
        environment(tmp_path, **{**LAMBDA, **environ}).endpoint("sqs")


def test_a_configuration_file_is_the_sdks_to_read(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nendpoint_url = http://127.0.0.1:3\n")
    with pytest.raises(NoSdk):
        environment(tmp_path, **LAMBDA).endpoint("sqs")


def test_what_the_sdk_says_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    found = AwsEnvironment({"AWS_USE_FIPS_ENDPOINT": "true"}, session, tmp_path, "")
    endpoint, region = found.endpoint("dynamodb")
    assert (endpoint.hostname, region) == ("dynamodb-fips.us-east-1.amazonaws.com", "us-east-1")


@pytest.mark.parametrize(
    ("environ", "proxied"),
    [
        ({}, False),
        ({"https_proxy": "http://proxy:3128"}, True),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "sqs.eu-west-1.amazonaws.com"}, False),
        ({"http_proxy": "http://proxy:3128"}, False),
    ],
)
def test_a_proxy_is_the_sdks_to_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], *, proxied: bool
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert environment(tmp_path).has_proxy(endpoint_at("https://sqs.eu-west-1.amazonaws.com")) is proxied
