"""Parts of a parsed expression (`cel.expr.Expr`) as they were written: how a message names them.

Plain functions of one part; pure.
"""

from __future__ import annotations

from typing import Any


def dotted(part: Any) -> str:
    """The name that a part is, as `a.b.c`; empty if it is another thing."""
    form = part.WhichOneof("expr_kind")
    if form == "ident_expr":
        return str(part.ident_expr.name)
    if form == "select_expr" and (before := dotted(part.select_expr.operand)):
        return f"{before}.{part.select_expr.field}"
    return ""


def first(part: Any) -> Any:
    """The part that stands first in a part."""
    form = part.WhichOneof("expr_kind")
    if form == "select_expr":
        return first(part.select_expr.operand) if not part.select_expr.test_only else part
    call = part.call_expr
    if form != "call_expr" or (call.function[0] not in "_@!-" and not call.HasField("target")):
        return part
    if call.HasField("target"):
        return first(call.target)
    return part if call.function in ("!_", "-_") else first(call.args[0])


def written(part: Any) -> str:
    """A part that is short to tell, as it was written; else nothing."""
    form = part.WhichOneof("expr_kind")
    if form == "const_expr":
        which = part.const_expr.WhichOneof("constant_kind")
        value = getattr(part.const_expr, which) if which else None
        return {"null_value": "null", "bool_value": str(value).lower()}.get(which, repr(value))
    if form == "call_expr" and part.call_expr.function == "_[_]":
        held, key = (written(one) for one in part.call_expr.args)
        return f"{held}[{key}]" if held and key else ""
    return dotted(part)
