"""Terms of CEL: what is decided is left out; as text and as Envoy's message."""

from argosy.envoy.api import decode, to_dict
from argosy.envoy.cel import (
    FALSE,
    TRUE,
    both,
    call,
    constant,
    either,
    encode_term,
    method,
    negate,
    one_of,
    path,
)

A, B = path("request.method"), path("request.path")


def test_what_is_decided_is_left_out() -> None:
    assert both(TRUE, A, TRUE) == A
    assert both(A, FALSE) == both(FALSE) == FALSE
    assert both() == TRUE
    assert either(FALSE, A, A) == A
    assert either(A, TRUE) == TRUE
    assert either() == FALSE
    assert (negate(TRUE), negate(FALSE), negate(negate(A))) == (FALSE, TRUE, A)
    assert one_of(A, []) == FALSE


def test_terms_as_text() -> None:
    term = both(
        negate(call("_==_", A, constant('a"b'))),
        either(
            method("startsWith", B, constant("/x")), one_of(call("_[_]", path("request.headers"), constant("h")), "ba")
        ),
    )
    assert str(term) == (
        '(!((request.method == "a\\"b")) && (request.path.startsWith("/x") || (request.headers["h"] in ["a", "b"])))'
    )
    assert term.size == 19


def test_terms_as_envoys_message() -> None:
    def decoded(term: object) -> object:
        return to_dict(decode("google.api.expr.v1alpha1.Expr", encode_term(term)))  # type: ignore[arg-type]

    select = {"select_expr": {"operand": {"ident_expr": {"name": "request"}}, "field": "method"}}
    assert decoded(A) == select
    assert decoded(method("matches", A, constant("x"))) == {
        "call_expr": {"target": select, "function": "matches", "args": [{"const_expr": {"string_value": "x"}}]}
    }
    assert decoded(one_of(A, ["x"])) == {
        "call_expr": {
            "function": "@in",
            "args": [select, {"list_expr": {"elements": [{"const_expr": {"string_value": "x"}}]}}],
        }
    }
    constants = [decoded(constant(value)) for value in (True, 7, 0.5)]
    assert constants == [
        {"const_expr": {"bool_value": True}},
        {"const_expr": {"int64_value": "7"}},
        {"const_expr": {"double_value": 0.5}},
    ]
