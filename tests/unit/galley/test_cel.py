"""Expressions of Telemetry: what a proxy would take, what could ever have a value, and where one is wrong.

That Envoy sees it alike is asked of it by `tests/conformance/cel`.
"""

from __future__ import annotations

import pytest

from argosy.galley.validate.cel import EXPRESSION_CHARS_MAX, PROGRAM_MAX, cel_problem


@pytest.mark.parametrize(
    "expression",
    [
        "response.code >= 400",
        "response.code == 503 || response.flags != 0",
        "!has(request.useragent) || !request.useragent.startsWith('kube-probe/')",
        "xds.cluster_name == 'BlackHoleCluster' || xds.cluster_name == 'PassthroughCluster'",
        "connection.mtls && request.url_path.contains('v1beta3')",
        "'x-skip' in request.headers && request.headers['x-skip'] == 'true'",
        "request.duration > duration('5ms')",
        "request.url_path.matches('^/a(b|c)+$')",
        "source.address.startsWith('10.') && destination.port == 8080",
        "metadata.filter_metadata['a']['b'] == 'c'",
        "size(request.headers) > 3 && upstream.port != 80",
        "connection.mtls",
        # Numbers are compared across kinds, and what is there is not null.
        "connection.id == 7 && response.code >= 400.5 && upstream.request_attempt_count > 1",
        "request.referer != null",
        "response.code in [500, 503u, 'none']",
        "(has(request.referer) ? request.referer : '') == ''",
        "(connection.mtls ? 1 : 'one') == 1",
        "request.time.getHours('Europe/Berlin') < 6 && request.duration.getSeconds() > 3",
        "request.time + duration('1h') > timestamp('2026-01-31T12:00:00Z')",
        "int(request.headers['x-age']) > 18",
        "xds.node.metadata['LABELS']['app'] == 'shop' && upstream.locality.zone != 'a'",
        "dyn(response.code) >= 'a'",
        "{'GET': true}[request.method] && {1: 'a'}[1] == 'a' && ['a'][0] == 'a'",
        "request['path'] == '/' && filter_state['io.till'].open == 1",
        "re.capture(request.path, '/(shop|till)') == 'till'",
        "envoy.config.core.v3.Locality{zone: 'a'} == upstream.locality",
        "xds.node.user_agent_build_version.version.major_number >= 1 && size(xds.node.extensions) > 0",
        "google.protobuf.Duration{seconds: 5} > request.duration",
        "-response.code < 0 && response.code % 100 == 3",
        f"request.path.matches('{'a' * (PROGRAM_MAX - 4)}')",
    ],
)
def test_what_a_proxy_can_work_out(expression: str) -> None:
    assert cel_problem(expression) is None


NEVER = {
    "response.code >= 400 && (response.flags == 0": ("line 1, column 45: missing ')' at '<EOF>'", ""),
    "response.code = 400": ("line 1, column 15: token recognition error at: '= '", "write =="),
    "%REQ(a)% == 'a'": (
        "line 1, column 1: extraneous input '%' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', "
        "NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        "commands of formats are none here: request.headers['x-name'], request.method, response.code",
    ),
    "connection.mtls\n& true": ("line 2, column 1: token recognition error at: '& '", "write &&"),
    "connection.mtls and true": ("line 1, column 17: mismatched input 'and' expecting <EOF>", "write &&"),
    "response.cod >= 400": ("line 1, column 9: response has no attribute 'cod'", "did you mean code?"),
    "request['pat'] == '/'": ("line 1, column 8: request has no attribute 'pat'", "did you mean path?"),
    "response.code > 1\n && nobody(1)": ("line 2, column 11: proxies do not have nobody()", ""),
    "upstream_peer.name == 'a'": (
        "line 1, column 1: there is no attribute 'upstream_peer.name'",
        "did you mean upstream?",
    ),
    "cluster_name == 'a'": ("line 1, column 1: there is no attribute 'cluster_name'", "write xds.cluster_name"),
    "1 + 1": ("it gives a value of type int, not true or false", "compare it with something"),
    "response.code": ("it gives a value of type int, not true or false", "compare it with something"),
    "connection.mtls ? 'a' : 'b'": (
        "it gives a value of type string, not true or false",
        "compare it with something",
    ),
    "response.code >= 'a'": (
        "line 1, column 15: >= does not compare response.code (int) with 'a' (string)",
        "write a number",
    ),
    "request.headers['x-age'] > 3": (
        "line 1, column 26: > does not compare request.headers['x-age'] (string) with 3 (int)",
        "write int(request.headers['x-age'])",
    ),
    "request.duration > 5": (
        "line 1, column 18: > does not compare request.duration (duration) with 5 (int)",
        "write duration('5s')",
    ),
    "response.code == '503'": (
        "line 1, column 15: it is never true: response.code is int, '503' is string",
        "write the number without quotes",
    ),
    "request.referer == null": (
        "line 1, column 17: it is never true: request.referer is string, the other is null",
        "what is not there is not null: write has(...)",
    ),
    "response.code in ['503']": (
        "line 1, column 15: it is never true: response.code is int, the list holds string",
        "",
    ),
    "5 in request.headers": ("line 1, column 3: it is never true: 5 is int, the map's keys are string", ""),
    "request.method in 'GET'": (
        "line 1, column 16: in looks in lists and maps, not in 'GET' (string)",
        "write 'GET'.contains(...)",
    ),
    "connection.mtls && response.code": (
        "line 1, column 20: && takes true and false, not response.code (int)",
        "",
    ),
    "request.path || response.code": ("line 1, column 1: || takes true and false, not request.path (string)", ""),
    "response.code ? true : false": ("line 1, column 1: ? : takes true and false, not response.code (int)", ""),
    "!request.path": ("line 1, column 2: ! takes true and false, not request.path (string)", ""),
    "-request.path == 'a'": ("line 1, column 1: - does not take request.path (string)", ""),
    "response.code + 1u == 504u": (
        "line 1, column 15: + does not take response.code (int) and 1 (uint)",
        "write uint(response.code)",
    ),
    "request.path + 'a' == '/a'": (
        "line 1, column 14: + does not take request.path (string) and 'a' (string)",
        "proxies join no texts and no lists: compare the parts, or use matches()",
    ),
    "request.duration * 2 > duration('1s')": (
        "line 1, column 18: * does not take request.duration (duration) and 2 (int)",
        "",
    ),
    "request.headers.x-age == '3'": (
        "line 1, column 18: - does not take request.headers.x (string)",
        "if the name is x-age, write request.headers['x-age']",
    ),
    "request.headers[3] == 'a'": ("line 1, column 17: 3 (int) is no key of a map: those are string", ""),
    "response.code['a'] == 'a'": ("line 1, column 14: response.code (int) is neither a map nor a list", ""),
    "response.code.a == 'a'": ("line 1, column 14: response.code (int) has no fields", ""),
    "metadata.filter_metadat['a'] == 'a'": (
        "line 1, column 9: Metadata has no field 'filter_metadat'",
        "did you mean filter_metadata?",
    ),
    "{1.5: 'a'}[1] == 'a'": ("line 1, column 2: 1.5 (double) cannot be a key", ""),
    "shop.Till{open: 1} == null": ("line 1, column 1: there is no message 'shop.Till'", ""),
    "envoy.config.core.v3.Locality{zon: 'a'} == null": (
        "line 1, column 1: envoy.config.core.v3.Locality has no field 'zon'",
        "did you mean zone?",
    ),
    "request.path.contains(1)": ("line 1, column 23: contains() takes string, not 1 (int)", ""),
    "size(response.code) > 1": (
        "line 1, column 6: size() takes bytes or list or map or string, not response.code (int)",
        "",
    ),
    "request.path.getHours() > 1": (
        "line 1, column 1: getHours() takes duration or timestamp, not request.path (string)",
        "",
    ),
    "request.path.size(1) > 1": (
        "line 1, column 18: size() is not called so",
        "write x.size()",
    ),
    "getHours(request.time) > 1": (
        "line 1, column 9: getHours() is not called so",
        "write x.getHours() or x.getHours('string')",
    ),
    "string(response.code) == '503'": (
        "line 1, column 7: proxies do not have string()",
        "compare the value itself",
    ),
    "request.path.startWith('/')": (
        "line 1, column 23: proxies do not have startWith()",
        "did you mean startsWith?",
    ),
    "math.abs(response.code) > 1": ("line 1, column 9: proxies do not have math.abs()", "did you mean matches?"),
    "request.headers.exists(h, h == 'a')": (
        "line 1, column 23: proxies do not have exists()",
        "proxies run no loops: use `in`, or name the header: request.headers['x-name']",
    ),
    "request.path.matches('(')": ("line 1, column 22: '(' is not a regular expression: missing ): (", ""),
    f"request.path.matches('{'a' * 97}')": (
        "line 1, column 22: a regular expression of 101 steps: proxies take 100 in an expression",
        "use several, with ||, or startsWith, endsWith, contains",
    ),
    "request.duration > duration('1d')": (
        "line 1, column 29: duration() cannot read '1d'",
        "write 5s, 1h30m, 250ms",
    ),
    "int('a') > 1": ("line 1, column 5: int() cannot read 'a'", ""),
    "'" + "a" * EXPRESSION_CHARS_MAX + "'": (f"it is longer than {EXPRESSION_CHARS_MAX} characters", ""),
}


@pytest.mark.parametrize("expression", NEVER)
def test_what_never_has_a_value_is_refused_with_its_place(expression: str) -> None:
    problem = cel_problem(expression)
    assert problem is not None
    assert (problem.message, problem.hint) == NEVER[expression]
    assert problem.refused


def test_what_follows_the_end_is_a_fault() -> None:
    problem = cel_problem("response.code >= ")
    assert problem is not None
    assert problem.message.startswith("line 1, column 18: mismatched input '<EOF>'")


@pytest.mark.parametrize(
    "expression, told",
    [
        ("!has(request.refere)", "line 1, column 5: request has no attribute 'refere'"),
        ("request.path || connection.mtls", "line 1, column 1: || takes true and false, not request.path (string)"),
        ("response.code != '503'", "line 1, column 15: it is always true: response.code is int, '503' is string"),
    ],
)
def test_what_is_always_the_same_is_told(expression: str, told: str) -> None:
    problem = cel_problem(expression)
    assert problem is not None
    assert (problem.message, problem.refused) == (told, False)


def test_a_fault_goes_before_what_is_only_told() -> None:
    problem = cel_problem("!has(request.refere) && response.code > 'a'")
    assert problem is not None
    assert problem.refused


PEERS = {"upstream_peer": "any", "node": "envoy.config.core.v3.Node"}


def test_an_expression_of_a_tag_gives_anything_and_knows_peers() -> None:
    for expression in ("destination.port", "upstream_peer.labels['app']", "node.id", "request.method == 'GET'"):
        assert cel_problem(expression, extra=PEERS, result="text") is None


def test_a_tag_has_no_map_as_value() -> None:
    problem = cel_problem("request.headers", extra=PEERS, result="text")
    assert problem is not None
    assert problem.message == "it gives a value of type map, which is no text"


def test_a_tag_s_texts_are_made_and_joined() -> None:
    problem = cel_problem("request.path + 1", extra=PEERS, result="text")
    assert problem is not None
    assert problem.hint == "write string(x) + string(y)"


def test_a_result_may_be_anything() -> None:
    assert cel_problem("request.headers", result="any") is None
    assert cel_problem("till.open", result="any") is not None


def test_names_in_a_tag_that_a_module_may_know_are_told_and_faults_beside_them_refused() -> None:
    told = cel_problem("till.open", extra=PEERS, result="text")
    assert told is not None
    assert (told.message, told.refused) == ("line 1, column 1: there is no attribute 'till.open'", False)
    beside = cel_problem("till.open && nobody(1)", extra=PEERS, result="text")
    assert beside is not None
    assert beside.refused
