"""How paths and hosts are taken by routes, policies and applications: the same, in every mode, by every way in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.e2e.calls import applied
from tests.e2e.harness import Mesh, running
from tests.e2e.raw import MANIFEST, Answer, ask, get

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NONE, BASE, MERGE, DECODE = "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"
MODES = (NONE, BASE, MERGE, DECODE)
DEFAULT = "DEFAULT"
"""Sidecars merge slashes; gateways redirect to unescaped ones, too."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder: Path = tmp_path_factory.mktemp("paths")
    (folder / "mesh.yaml").write_text(MANIFEST)
    with running(folder / "mesh", folder / "mesh.yaml") as found:
        yield found


def config(mode: str) -> str:
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n"
    return head + f"    pathNormalization: {{normalization: {mode}}}\n"


def policy(action: str, paths: str, *, where: str = "default", app: str = "echo") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: paths, namespace: {where}}}
spec:
  selector: {{matchLabels: {{app: {app}}}}}
  action: {action}
  rules: [{{to: [{{operation: {{paths: {paths}}}}}]}}]
"""


# What an application sees, by mode; one value: in every mode. None: refused.
SAME = object()
TRANSFORMS: dict[str, tuple[object, object, object, object]] = {
    "/app/../admin": (SAME, "/admin", "/admin", "/admin"),
    "/app/%2E./admin": (SAME, "/admin", "/admin", "/admin"),
    "/app//": (SAME, SAME, "/app/", "/app/"),
    "/app/%2f": (SAME, SAME, SAME, "/app/"),
    "/app%2f/": (SAME, SAME, SAME, "/app/"),
    "/xyz%30..//abc": (SAME, "/xyz0..//abc", "/xyz0../abc", "/xyz0../abc"),
    "/app\\admin": (SAME, "/app/admin", "/app/admin", "/app/admin"),
    "/app/\\/\\/\\admin": (SAME, "/app//////admin", "/app/admin", "/app/admin"),
    "/%2Fapp%5cadmin%5Cabc": (SAME, SAME, SAME, "/app/admin/abc"),
    "/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\\abc": (
        SAME,
        "/%5Capp%2f%5c%2F..%2fadmin%5c/abc",
        "/%5Capp%2f%5c%2F..%2fadmin%5c/abc",
        "/app/admin/abc",
    ),
    "/app//../admin": (SAME, "/app/admin", "/app/admin", "/app/admin"),
    "/app//../../admin": (SAME, "/admin", "/admin", "/admin"),
    "/..;/admin": (SAME, "/admin", "/admin", "/admin"),
    **dict.fromkeys(
        (
            "/0x2e0x2e/admin",
            "/%252e%252e/admin",
            "/%c0%ae%c0%ae/admin",
            "/%c0%afadmin",
            "/.../admin",
            "/;/admin",
            "/admin;a=b",
            "/admin,a=b/xyz",
            "/Admin",
            "/app?x=/../admin",
        ),
        (SAME, SAME, SAME, SAME),
    ),
}


def _column(mode: str) -> int:
    return MODES.index(MERGE if mode == DEFAULT else mode)


def wanted(mode: str) -> dict[str, object]:
    """What applications see of each path."""
    found = {path: by[_column(mode)] for path, by in TRANSFORMS.items()}
    return {path: path if one is SAME else one for path, one in found.items()}


@pytest.mark.parametrize("mode", [*MODES, DEFAULT])
def test_applications_see_paths_as_the_mode_says(mesh: Mesh, mode: str) -> None:
    with applied(mesh, config(mode)):
        for sender in ("sleep", "node"):
            answers = ask(mesh, [get(path) for path in TRANSFORMS], sender=sender)
            assert {path: one.path for path, one in zip(TRANSFORMS, answers, strict=True)} == wanted(mode)
        # A fragment never passes; a path with an escaped zero byte is refused where it is decoded.
        fragment, zero = ask(mesh, [get("/app#foo"), get("/admin%00")])
        assert fragment.path == "/app" or fragment.status == 400
        assert zero.path == "/admin%00" if mode == NONE else zero.refused


DENIED = "D"
PASSED = "f"
# For each spelling of /admin: whether DENY /admin and /admin/* stops it, by mode.
POLICY: dict[str, str] = {
    "/admin": "DDDD",
    "/admin/": "DDDD",
    "/admin/x": "DDDD",
    "/admin?x": "DDDD",
    "/admin#x": "DDDD",
    "http://h/admin": "DDDD",
    "/x/../admin": "fDDD",
    "/%61dmin": "fDDD",
    "/x\\..\\admin": "fDDD",
    "//admin": "ffDD",
    "/x/..//admin": "ffDD",
    "/%2fadmin": "fffD",
    "/x%2f..%2fadmin": "fffD",
    "/admin%2f": "fffD",
    "/..;/admin": "fDDD",
    "/admin;x": "DDDD",
    "/admin;a=b/xyz": "DDDD",
    "/Admin": "ffff",
    "/ADMIN": "ffff",
    "/%2561dmin": "ffff",
    "/%252fadmin": "ffff",
    "/admin%20": "ffff",
    "/admin%09": "ffff",
    "/admin.": "ffff",
}
NEVER = ("/admin\x01", "/adm\x7fin", "/admin\x80", "/admin\xff")


@pytest.mark.parametrize("mode", [*MODES, DEFAULT])
def test_a_denial_holds_for_every_spelling_that_the_mode_folds(mesh: Mesh, mode: str) -> None:
    with applied(mesh, config(mode), policy("DENY", '["/admin", "/admin/*"]')):
        for sender in ("sleep", "node"):
            answers = dict(zip(POLICY, ask(mesh, [get(path) for path in POLICY], sender=sender), strict=True))
            found = {path: DENIED if one.refused else PASSED for path, one in answers.items()}
            assert found == {path: by[_column(mode)] for path, by in POLICY.items()}, {
                p: a.text for p, a in answers.items()
            }
            assert all(one.refused for one in ask(mesh, [get(path) for path in NEVER], sender=sender))


@pytest.mark.parametrize("mode", [*MODES, DEFAULT])
def test_what_is_allowed_by_name_lets_no_other_spelling_in(mesh: Mesh, mode: str) -> None:
    with applied(mesh, config(mode), policy("ALLOW", '["/public"]')):
        for sender in ("sleep", "node"):
            public, *others = ask(mesh, [get("/public"), *map(get, POLICY), *map(get, NEVER)], sender=sender)
            assert public.status == 200
            assert all(one.refused for one in others)


def test_the_gateway_folds_everything_unless_told_otherwise(mesh: Mesh) -> None:
    rule = policy("DENY", '["/admin", "/admin/*"]', where="istio-system", app="istio-ingressgateway")
    folded = [path for path, by in POLICY.items() if by[MODES.index(DECODE)] == DENIED]
    with applied(mesh, rule):
        answers = ask(mesh, [get(path) for path in folded], sender="gateway")
        assert {path: one.refused for path, one in zip(folded, answers, strict=True)} == dict.fromkeys(folded, True)
        # An escaped slash is answered with the plain path, so that client and application mean the same.
        (escaped,) = ask(mesh, [get("/x%2fy")], sender="gateway")
        assert (escaped.status, "location: " in escaped.text.lower(), "/x/y" in escaped.text) == (307, True, True)
        assert ask(mesh, [get("/x//y")], sender="gateway")[0].path == "/x/y"


# -- generated spellings --------------------------------------------------------------------------------------------

SECRET = "/private/secret.html"


def _percent(text: str, keep: str = "") -> str:
    return "".join(one if one in keep else f"%{ord(one):02x}" for one in text)


def _each(form: str) -> Callable[[str], str]:
    """An encoder that writes each character by its code, and by the bytes of an overlong UTF-8 form of it."""
    return lambda text: "".join(
        form.format(ord(one), 0xC0 | ord(one) >> 6, 0x80 | ord(one) >> 6, 0x80 | ord(one) & 63) for one in text
    )


ENCODERS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent, lower case": _percent,
    "percent, upper case": lambda text: _percent(text).upper(),
    "percent, slashes kept": lambda text: _percent(text, keep="/"),
    "double percent": lambda text: _percent(_percent(text)),
    "every second letter": lambda text: "".join(_percent(one) if at % 2 else one for at, one in enumerate(text)),
    "unicode": _each("%u{0:04x}"),
    "overlong, two bytes": _each("%{1:02x}%{3:02x}"),
    "overlong, three bytes": _each("%e0%{2:02x}%{3:02x}"),
    "other case": str.swapcase,
    "html": _each("&#{0};"),
}
SLASHES = ("/", "//", "/./", "/%2e/", "/x/../", "/x/%2e%2e/", "\\", "/;a=b/", "/..;/", "%2f", "%5c", "/x%2f..%2f")
ENDS = ("", "?", "?a=/public", "#", ";x", ";a=b;c=d", "/", "//", "/.", "/x/..", "%20", "%00", ".", "%2f", "/;", "\\")


def spellings() -> Iterator[str]:
    """Ways to write the secret's path: 11 encoders for its parts; ways to begin, separate and end them."""
    first, second = "private", "secret.html"
    for (_, one), (_, two) in itertools.product(ENCODERS.items(), repeat=2):
        for before, between in itertools.product(SLASHES[:4], SLASHES):
            yield f"{before}{one(first)}{between}{two(second)}"
    for before, between, end in itertools.product(SLASHES, SLASHES, ENDS):
        lead = before if before.startswith("/") else f"/{before}"
        yield f"{lead}{first}{between}{second}{end}"


def lenient(path: str) -> str:
    """What an application takes a path for that decodes once, ignores parameters, and folds slashes and dots."""
    plain = unquote(path.partition("?")[0].partition("#")[0]).replace("\\", "/")
    parts: list[str] = []
    for part in plain.split("/"):
        name = part.partition(";")[0]
        if name == "..":
            del parts[-1:]
        elif name not in ("", "."):
            parts.append(name)
    return "/" + "/".join(parts)


def test_no_generated_spelling_gets_around_a_denial(mesh: Mesh) -> None:
    """With everything folded, whatever a lenient application takes for the secret is denied."""
    paths = list(dict.fromkeys(spellings()))
    assert len(paths) >= 5000
    with applied(mesh, config(DECODE), policy("DENY", f'["{SECRET}", "{SECRET}/*"]')):
        # Two sidecars fold the same way as one does, so a part of them is enough there.
        for sender, sent in (("node", paths), ("sleep", paths[::10])):
            answers: list[Answer] = ask(mesh, [get(path) for path in sent], sender=sender)
            reached = [(path, one.path) for path, one in zip(sent, answers, strict=True) if one.lines]
            assert [one for one in reached if lenient(one[1]) == SECRET] == []
            # Far from everything is refused: the others are passed on, as what they are.
            assert len(reached) > len(sent) // 4
            assert not any(one.text.startswith("no answer: Timeout") for one in answers)


# -- hosts -----------------------------------------------------------------------------------------------------------


HOSTS = (
    "secret.com",
    "Secret.COM",
    "secret.com:80",
    "secret.com:8080",
    "secret.com:443",
    "secret.com.",
    "SECRET.com.:80",
)
BAD_HOSTS = ("user@secret.com", "secret.com/x", "a b", "secret.com\x00", "[::1", "")


def test_a_denied_host_is_denied_however_it_is_written(mesh: Mesh) -> None:
    rule = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: hosts}
spec:
  selector: {matchLabels: {app: echo}}
  action: DENY
  rules: [{to: [{operation: {hosts: [secret.com, "*.secret.com"]}}]}]
"""
    with applied(mesh, rule):
        for sender in ("node", "gateway"):
            names = [*HOSTS, "www.secret.com", "www.secret.com:80"]
            answers = ask(mesh, [get("/", host=name) for name in names], sender=sender)
            assert {n: one.status for n, one in zip(names, answers, strict=True)} == dict.fromkeys(names, 403)
            assert ask(mesh, [get("/", host="public.com")], sender=sender)[0].status == 200
            both = [get("/", "Host: secret.com", host="public.com"), get("http://secret.com/", host="public.com")]
            # One value counts for routes, policies and the application alike.
            for one in ask(mesh, both, sender=sender):
                assert one.refused or "secret.com" not in "".join(one.lines), one.text
            odd = ask(mesh, [get("/", host=name) for name in (*BAD_HOSTS, "x" * 300, "x" * 60_000)], sender=sender)
            assert all(one.lines or one.status in (0, 400, 403, 404, 431) for one in odd), [a.text[:200] for a in odd]
            assert all("secret.com" not in "".join(one.lines) for one in odd)
    assert ask(mesh, [get("/")], sender="node")[0].status == 200
