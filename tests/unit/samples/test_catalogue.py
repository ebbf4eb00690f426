"""The catalogue: from an image name to a local program and its command line."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from argosy.samples.catalogue import Sample, command_for, known_images, lookup, repository

CORPUS = Path(__file__).parents[4] / "shared" / "corpus" / "istio-samples"


def find(image: str) -> Sample:
    sample = lookup(image)
    assert sample is not None, image
    return sample


@pytest.mark.parametrize(
    "image, name",
    [
        ("registry.istio.io/release/examples-bookinfo-reviews-v2:1.20.3", "reviews-v2"),
        ("docker.io/istio/examples-bookinfo-reviews-v2", "reviews-v2"),
        ("argosy/examples-bookinfo-productpage-v1", "productpage-v1"),
        ("examples-bookinfo-ratings-v-faulty", "ratings-v-faulty"),
        ("registry.istio.io/release/examples-bookinfo-details-v2:1.20.3", "details-v2"),
        ("localhost:5000/istio/examples-helloworld-v1:1.0", "helloworld-v1"),
        ("examples-helloworld-region1.zone1", "helloworld-region1.zone1"),
        ("kennethreitz/httpbin", "httpbin"),
        ("docker.io/mccutchen/go-httpbin:v2.15.0", "go-httpbin"),
        ("curlimages/curl", "curl"),
        ("governmentpaas/curl-ssl", "curl-ssl"),
        ("istio/tcp-echo-server@sha256:0123456789abcdef", "tcp-echo"),
        ("localhost:5000/tcp-echo-server:1.3@sha256:0123456789abcdef", "tcp-echo"),
        ("registry.istio.io/testing/ext-authz:latest", "ext-authz"),
        ("registry.k8s.io/busybox", "busybox"),
    ],
)
def test_registry_tag_and_digest_do_not_matter(image: str, name: str) -> None:
    assert find(image).name == name


@pytest.mark.parametrize("image", ["fortio/fortio", "auto", "", "examples-bookinfo-reviews-v9", "examples-helloworld-"])
def test_an_image_without_a_stand_in_is_none(image: str) -> None:
    assert lookup(image) is None


def test_the_versions_of_reviews_differ_in_their_environment_only() -> None:
    samples = [find(f"examples-bookinfo-reviews-{version}") for version in ("v1", "v2", "v3")]
    assert {sample.module for sample in samples} == {"argosy.samples.reviews"}
    assert [dict(sample.env) for sample in samples] == [
        {"SERVICE_VERSION": "v1", "ENABLE_RATINGS": "false"},
        {"SERVICE_VERSION": "v2", "ENABLE_RATINGS": "true"},
        {"SERVICE_VERSION": "v3", "ENABLE_RATINGS": "true", "STAR_COLOR": "red"},
    ]


def test_known_images_lead_to_samples_whose_module_exists() -> None:
    for image in known_images():
        sample = find(image)
        assert sample.module is None or importlib.util.find_spec(sample.module) is not None


@pytest.mark.parametrize(
    "image, command, args, expected",
    [
        ("ratings", None, None, None),
        ("tcp-echo", None, ["9000,9001,9002", "one"], ["argosy.samples.tcp_echo", "9000,9001,9002", "one"]),
        ("tcp-echo", [], [], ["argosy.samples.tcp_echo", "9000", "hello"]),
        ("httpbin", ["gunicorn", "-b", "0.0.0.0:8080", "httpbin:app"], None, ["argosy.samples.httpbin", "8080"]),
        ("httpbin", ["gunicorn", "--bind", "[::]:81"], ["httpbin:app"], ["argosy.samples.httpbin", "81"]),
        ("httpbin", ["gunicorn", "httpbin:app"], None, ["argosy.samples.httpbin", "80"]),
        ("go-httpbin", None, None, ["argosy.samples.httpbin", "8080"]),
        ("ext-authz", None, None, ["argosy.samples.ext_authz", "8000", "9000"]),
        ("docker.io/envoyproxy/ratelimit:30a4ce1a", ["/bin/ratelimit"], None, ["argosy.samples.ratelimit"]),
        ("docker.io/redis:alpine", None, None, ["argosy.samples.redis"]),
        ("redis", ["redis-server", "--maxmemory"], ["1mb"], ["argosy.samples.redis", "--maxmemory", "1mb"]),
    ],
)
def test_the_command_runs_the_module_with_the_arguments_of_the_manifest(
    image: str, command: list[str] | None, args: list[str] | None, expected: list[str] | None
) -> None:
    if expected is None:
        image, expected = "examples-bookinfo-ratings-v1", ["argosy.samples.ratings", "9080"]
    assert command_for(find(image), command, args) == [sys.executable, "-m", *expected]


@pytest.mark.parametrize(
    "image, command, args, expected",
    [
        ("curl", ["/bin/sleep", "infinity"], None, ["/bin/sleep", "infinity"]),
        ("curl", None, None, ["/bin/sleep", "infinity"]),
        ("busybox", None, ["/bin/sh", "-c", "true"], ["/bin/sh", "-c", "true"]),
        ("curl", ["/bin/sh"], ["-c", "true"], ["/bin/sh", "-c", "true"]),
        ("go-httpbin", ["/bin/sleep"], ["3600"], ["/bin/sleep", "3600"]),
    ],
)
def test_a_command_of_the_manifest_is_run_literally(
    image: str, command: list[str] | None, args: list[str] | None, expected: list[str]
) -> None:
    assert command_for(find(image), command, args) == expected


# Databases, tools and test programs of the corpus that Argosy does not play.
WITHOUT_STAND_IN = {
    "app", "examples-bookinfo-mongodb", "examples-bookinfo-mysqldb", "fortio", "health", "jwt-server",
    "tornado-websocket-example",
}  # fmt: skip


@pytest.mark.skipif(not CORPUS.is_dir(), reason="needs Istio's own samples in ../shared/corpus")
def test_every_image_of_istios_samples_is_known_or_left_out_on_purpose() -> None:
    texts = [path.read_text(encoding="utf-8") for path in CORPUS.rglob("*.yaml")]
    images = {image for text in texts for image in re.findall(r"^\s*-?\s*image:\s*\"?([^\"\s]+)", text, re.MULTILINE)}
    assert len(images) > 15
    assert {repository(image) for image in images if lookup(image) is None} == WITHOUT_STAND_IN
