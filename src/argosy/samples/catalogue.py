"""Which local program stands in for a container image. Pure: names in, names out.

Given the `image` of a container; gives the sample that plays it (module, arguments, environment, ports) or None, and
the command line for it. Registry, organisation, tag and digest do not matter: `argosy/examples-bookinfo-reviews-v2` and
`registry.istio.io/release/examples-bookinfo-reviews-v2:1.20.3` are the same program. It starts nothing and looks at no
file.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

IDLE = ("/bin/sleep", "infinity")


@dataclass(frozen=True)
class Sample:
    """A local stand-in for an image.

    module: what `python -m` runs; None for an image that is only a shell and tools (curl, busybox): the manifest's
    command is then run as it stands. args: used where the manifest gives none. env: what the image itself would set;
    the manifest's `env` goes over it. ports: where it listens with these args. program: what the image calls the
    program, so that a manifest's `command` may name it.
    """

    name: str
    module: str | None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    program: str = ""


def _bookinfo(app: str, version: str, env: Mapping[str, str] | None = None) -> Sample:
    environment = {"SERVICE_VERSION": version, **(env or {})}
    return Sample(f"{app}-{version}", f"argosy.samples.{app}", ("9080",), environment, (9080,))


_STARS = {"ENABLE_RATINGS": "true"}
_HELLOWORLD = "examples-helloworld-"
_SHELLS = ("alpine", "busybox", "curl", "curl-ssl", "debian", "netshoot", "sleep", "ubuntu")
_ECHO = Sample("tcp-echo", "argosy.samples.tcp_echo", ("9000", "hello"), {}, (9000,))
_COLLECTOR = Sample("collector", "argosy.samples.collector", (), {}, (4317, 4318, 8126, 9411, 11800))
_COLLECTORS = (
    "opentelemetry-collector",
    "opentelemetry-collector-contrib",
    "zipkin",
    "zipkin-slim",
    "all-in-one",
    "skywalking-oap-server",
)
_IMAGES: Mapping[str, Sample] = {
    "examples-bookinfo-productpage-v1": _bookinfo("productpage", "v1"),
    "examples-bookinfo-details-v1": _bookinfo("details", "v1"),
    "examples-bookinfo-details-v2": _bookinfo("details", "v2", {"ENABLE_EXTERNAL_BOOK_SERVICE": "true"}),
    "examples-bookinfo-reviews-v1": _bookinfo("reviews", "v1", {"ENABLE_RATINGS": "false"}),
    "examples-bookinfo-reviews-v2": _bookinfo("reviews", "v2", _STARS),
    "examples-bookinfo-reviews-v3": _bookinfo("reviews", "v3", {**_STARS, "STAR_COLOR": "red"}),
    **{
        f"examples-bookinfo-ratings-{version}": _bookinfo("ratings", version)
        for version in ("v1", "v2", "v-faulty", "v-delayed", "v-unavailable", "v-unhealthy")
    },
    # The two programs called httpbin show header values differently (one string, or a list), on different ports.
    "httpbin": Sample("httpbin", "argosy.samples.httpbin", ("80",), {"HTTPBIN_VALUES": "string"}, (80,)),
    "go-httpbin": Sample("go-httpbin", "argosy.samples.httpbin", ("8080",), {"HTTPBIN_VALUES": "list"}, (8080,)),
    "tcp-echo-server": _ECHO,
    "tcp-echo": _ECHO,
    "ext-authz": Sample("ext-authz", "argosy.samples.ext_authz", ("8000", "9000"), {}, (8000, 9000)),
    "keyval": Sample("keyval", "argosy.samples.keyval", ("9070",), {}, (9070,), "keyval"),
    "ratelimit": Sample("ratelimit", "argosy.samples.ratelimit", (), {}, (8080, 8081, 6070), "ratelimit"),
    "redis": Sample("redis", "argosy.samples.redis", (), {}, (6379,), "redis-server"),
    **dict.fromkeys(_COLLECTORS, _COLLECTOR),
    **{name: Sample(name, None, IDLE) for name in _SHELLS},
}


def repository(image: str) -> str:
    """The last word of an image reference, without tag and digest: `x.io/mccutchen/go-httpbin:v2` -> `go-httpbin`."""
    return image.strip().rpartition("/")[2].partition("@")[0].partition(":")[0]


def lookup(image: str) -> Sample | None:
    """Find the stand-in for an image; None when there is none (`known_images()` then makes a hint)."""
    name = repository(image)
    version = name.removeprefix(_HELLOWORLD)
    if version and version != name:
        return Sample(
            f"helloworld-{version}", "argosy.samples.helloworld", ("5000",), {"SERVICE_VERSION": version}, (5000,)
        )
    return _IMAGES.get(name)


def known_images() -> tuple[str, ...]:
    """All image names that `lookup` knows, sorted, for the hint of an error."""
    return tuple(sorted((*_IMAGES, f"{_HELLOWORLD}VERSION")))


def command_for(sample: Sample, command: Sequence[str] | None, args: Sequence[str] | None) -> list[str]:
    """The command line for a container: the image's program, with the manifest's `command` and `args`.

    As on Kubernetes: `args` replace the image's own arguments (`["9000,9001", "one"]` for tcp-echo), `command` replaces
    its program and is run literally (`["/bin/sleep", "infinity"]`), unless it names a program that only exists in the
    image: `/bin/ratelimit` is the rate limit service here too, and `gunicorn -b HOST:PORT ...` is httpbin on that port.
    """
    if sample.module is None:
        return [*(command or ()), *(args or ())] or list(sample.args)
    program = [sys.executable, "-m", sample.module]
    if not command:
        return [*program, *(args or sample.args)]
    name = command[0].rpartition("/")[2]
    if name == sample.program:
        return [*program, *command[1:], *(args or ())]
    if name == "gunicorn":
        return [*program, *(_gunicorn_port([*command, *(args or ())]) or sample.args)]
    return [*command, *(args or ())]


def _gunicorn_port(argv: Sequence[str]) -> tuple[str, ...]:
    for option, value in pairwise(argv):
        if option in ("-b", "--bind"):
            return (value.rpartition(":")[2],)
    return ()
