"""Expressions (CEL) that proxies evaluate: would a proxy take this one, and could it ever have a value?

Given an expression, gives what is wrong with it and where. The parser is the one that Envoy itself has; Envoy does not
check kinds, and what does not fit has no value, for any request. Pure. Source: Envoy's attributes; cel.dev.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

import msgspec
import re2
from cel_expr_python import cel

from argosy.envoy.api import message
from argosy.galley.validate import cel_types as kinds
from argosy.galley.validate.cel_parts import dotted, first, written
from argosy.galley.validate.cel_types import ANY, BOOL, Kind

EXPRESSION_CHARS_MAX = 4096
PROGRAM_MAX = 100
"""The size of a compiled regular expression up to which Envoy takes it in an expression."""
_PLACE = "<input>:"
_KEYS_OF = {"map": frozenset({"bool", "int", "uint", "string"}), "list": frozenset({"int", "uint"})}
_NO_TEXT = frozenset({"map", "list", "message", "type", "null"})
_LITERALS = {
    "null_value": kinds.NULL,
    "bool_value": BOOL,
    "int64_value": kinds.INT,
    "uint64_value": kinds.UINT,
    "double_value": kinds.DOUBLE,
    "string_value": kinds.STRING,
    "bytes_value": kinds.BYTES,
}
_NO_EXTRA: Mapping[str, str] = {}
Result = Literal["condition", "text", "any"]


@dataclass(frozen=True)
class CelProblem:
    """What is wrong, with line and column. `refused`: it can never be what was meant; else it is only worth telling."""

    message: str
    hint: str = ""
    refused: bool = True


def cel_problem(
    expression: str, *, extra: Mapping[str, str] = _NO_EXTRA, result: Result = "condition"
) -> CelProblem | None:
    """What is wrong with an expression, first what refuses it; None if nothing is.

    `extra`: names that it may use besides Envoy's attributes, with their kinds; where there are some, modules may know
    others. `result`: what it has to give: true or false, what can be written as a text, or anything.
    """
    if len(expression) > EXPRESSION_CHARS_MAX:
        return CelProblem(f"it is longer than {EXPRESSION_CHARS_MAX} characters")
    try:
        serialized = _parser().compile(expression, disable_check=True).serialize()
    except RuntimeError as error:
        return _unread(str(error), expression)
    parsed = message("cel.expr.ParsedExpr").FromString(message("google.protobuf.Any").FromString(serialized).value)
    walk = _Walk(expression, parsed.source_info.positions, extra, result)
    try:
        made = walk.kind(parsed.expr)
    except _Fault as fault:
        return fault.problem
    if result == "condition" and made not in (BOOL, ANY):
        return CelProblem(f"it gives a value of type {made}, not true or false", "compare it with something")
    if result == "text" and made.name in _NO_TEXT:
        return CelProblem(f"it gives a value of type {made}, which is no text")
    return walk.notes[0] if walk.notes else None


@cache
def _parser() -> cel.Env:
    return cel.NewEnv()


class _Fault(Exception):
    def __init__(self, problem: CelProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True)
class _Walk:
    """Through a parsed expression, from its leaves: each part's kind. Errors: `_Fault`."""

    text: str
    positions: Mapping[int, int]
    extra: Mapping[str, str]
    result: Result
    notes: list[CelProblem] = field(default_factory=list)

    def kind(self, part: Any) -> Kind:
        form = part.WhichOneof("expr_kind")
        if form == "const_expr":
            return _LITERALS.get(part.const_expr.WhichOneof("constant_kind"), ANY)
        if form is None:
            return ANY
        found: Kind = getattr(self, f"_{form}")(part)
        return found

    def _fault(self, part: Any, text: str, hint: str = "", *, whole: bool = False) -> _Fault:
        return _Fault(self._problem(part, text, hint, refused=True, whole=whole))

    def _problem(self, part: Any, text: str, hint: str, *, refused: bool, whole: bool = False) -> CelProblem:
        """`whole`: it is about all of the part, from its first character on; else where its operator stands."""
        before = self.text[: self.positions.get(first(part).id if whole else part.id, 0)]
        place = f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
        return CelProblem(f"{place}: {text}", hint, refused)

    # -- names and what is in them --

    def _ident_expr(self, part: Any, whole: str = "") -> Kind:
        name = part.ident_expr.name.removeprefix(".")
        if name in self.extra:
            return kinds.kind_named(self.extra[name])
        if (group := kinds.kind_of_group(name)) is not None:
            return group
        if name in kinds.TYPE_NAMES:
            return kinds.TYPE
        known = [*kinds.GROUPS, *self.extra]
        within = [f"{group}.{name}" for group, attributes in kinds.ATTRIBUTES.items() if name in attributes]
        hint = f"write {' or '.join(within)}" if within else _near(name, known) or f"there are {', '.join(known)}"
        problem = self._problem(part, f"there is no attribute {whole or name!r}", hint, refused=not self.extra)
        if problem.refused:
            raise _Fault(problem)
        self.notes.append(problem)
        return ANY

    def _select_expr(self, part: Any) -> Kind:
        select = part.select_expr
        if select.operand.WhichOneof("expr_kind") == "ident_expr":
            held = self._ident_expr(select.operand, dotted(part))
        else:
            held = self.kind(select.operand)
        found = self._member(part, held, select.field, select.test_only)
        return BOOL if select.test_only else found

    def _member(self, part: Any, held: Kind, name: str, test: bool = False) -> Kind:
        """What a value holds under a name."""
        if held.group:
            attributes = kinds.ATTRIBUTES[held.group]
            if name in attributes:
                return kinds.kind_named(attributes[name])
            absent = f"{held.group} has no attribute {name!r}"
            if not test:
                raise self._fault(part, absent, _near(name, attributes))
            self.notes.append(self._problem(part, absent, _near(name, attributes), refused=False))
            return ANY
        if held.name == "message":
            if held.fields is None or name in held.fields.fields_by_name:
                return ANY if held.fields is None else kinds.kind_of_field(held.fields.fields_by_name[name])
            near = _near(name, held.fields.fields_by_name)
            raise self._fault(part, f"{held.fields.name} has no field {name!r}", near)
        if held.name in ("map", "any"):
            return held.values or ANY
        raise self._fault(part, f"{self._said(part.select_expr.operand, held)} has no fields")

    def _at(self, part: Any, held: Kind, key: Any) -> Kind:
        """What a value holds at a key: `x[key]`."""
        by = self.kind(key)
        constant = key.const_expr
        if held.name == "map" and constant.WhichOneof("constant_kind") == "string_value" and held.group:
            return self._member(part, held, constant.string_value)
        takes = _KEYS_OF.get(held.name)
        if takes is None and held != ANY:
            raise self._fault(part, f"{self._said(part.call_expr.args[0], held)} is neither a map nor a list")
        if held.keys:
            takes = _KEYS_OF["list"] if held.keys in _KEYS_OF["list"] else frozenset({held.keys})
        if takes is not None and by != ANY and by.name not in takes:
            message = f"{self._said(key, by)} is no key of a {held}: those are {' or '.join(sorted(takes))}"
            raise self._fault(key, message, whole=True)
        return ANY if held.group else held.values or ANY

    # -- what is made on the spot --

    def _list_expr(self, part: Any) -> Kind:
        found = {self.kind(one) for one in part.list_expr.elements}
        return Kind("list", values=found.pop()) if len(found) == 1 else kinds.LIST

    def _struct_expr(self, part: Any) -> Kind:
        struct = part.struct_expr
        if not struct.message_name:
            return self._map(struct.entries)
        try:
            made = kinds.message_type(struct.message_name)
        except KeyError:
            raise self._fault(part, f"there is no message {struct.message_name!r}") from None
        for entry in struct.entries:
            self.kind(entry.value)
            if entry.field_key not in made.fields_by_name:
                near = _near(entry.field_key, made.fields_by_name)
                raise self._fault(part, f"{struct.message_name} has no field {entry.field_key!r}", near)
        return kinds.kind_of_message(made)

    def _map(self, entries: Sequence[Any]) -> Kind:
        keys, values = set(), set()
        for entry in entries:
            key = self.kind(entry.map_key)
            if key.name not in ("bool", "int", "uint", "string", "any"):
                raise self._fault(entry.map_key, f"{self._said(entry.map_key, key)} cannot be a key")
            keys.add(key.name)
            values.add(self.kind(entry.value))
        only = keys.pop() if len(keys) == 1 and "any" not in keys else ""
        return Kind("map", keys=only, values=values.pop() if len(values) == 1 else None)

    def _comprehension_expr(self, part: Any) -> Kind:
        name = self.text[: self.positions.get(part.id, 0)].rpartition(".")[2].strip()
        hint = "proxies run no loops: use `in`, or name the header: request.headers['x-name']"
        raise self._fault(part, f"proxies do not have {name}()", hint)

    # -- operators and functions --

    def _call_expr(self, part: Any) -> Kind:
        call = part.call_expr
        if (operator := _OPERATORS.get(call.function)) is None:
            return self._function(part)
        made: Kind = operator(self, part, call.function.strip("_@"), call.args)
        return made

    def _logical(self, part: Any, name: str, args: Sequence[Any]) -> Kind:
        """`&&`, `||`, `!`. A side of `||` without a value is outvoted where the other is true: that alone counts."""
        made = [self.kind(one) for one in args]
        outvoted = name == "||" and any(kind in (BOOL, ANY) for kind in made)
        for one, kind in zip(args, made, strict=True):
            if kind not in (BOOL, ANY):
                problem = self._condition_problem(one, name, kind, refused=not outvoted)
                if problem.refused:
                    raise _Fault(problem)
                self.notes.append(problem)
        return BOOL

    def _condition_problem(self, part: Any, name: str, kind: Kind, *, refused: bool) -> CelProblem:
        text = f"{name} takes true and false, not {self._said(part, kind)}"
        return self._problem(part, text, "", refused=refused, whole=True)

    def _choice(self, part: Any, name: str, args: Sequence[Any]) -> Kind:
        condition = self.kind(args[0])
        if condition not in (BOOL, ANY):
            raise _Fault(self._condition_problem(args[0], "? :", condition, refused=True))
        one, other = self.kind(args[1]), self.kind(args[2])
        return one if one == other else ANY

    def _negative(self, part: Any, name: str, args: Sequence[Any]) -> Kind:
        made = self.kind(args[0])
        if made.name not in ("int", "double", "any"):
            raise self._fault(part, f"- does not take {self._said(args[0], made)}")
        return made

    def _index(self, part: Any, name: str, args: Sequence[Any]) -> Kind:
        return self._at(part, self.kind(args[0]), args[1])

    def _equal(self, part: Any, name: str, args: Sequence[Any]) -> Kind:
        one, other = self.kind(args[0]), self.kind(args[1])
        if not _comparable(one, other):
            said = f"{self._is(args[0], one)}, {self._is(args[1], other)}"
            hint = self._hint(args, (one, other))
            if name == "==":
                raise self._fault(part, f"it is never true: {said}", hint)
            # Of what is there, `!= null` is true; of what is not, it has no value: a way to ask.
            if kinds.NULL not in (one, other):
                self.notes.append(self._problem(part, f"it is always true: {said}", hint, refused=False))
        return BOOL

    def _order(self, part: Any, name: str, args: Sequence[Any]) -> Kind:
        one, other = self.kind(args[0]), self.kind(args[1])
        known = [kind for kind in (one, other) if kind != ANY]
        if not _comparable(one, other) or any(kind.name not in kinds.NUMBERS | kinds.ORDERED for kind in known):
            message = f"{name} does not compare {self._said(args[0], one)} with {self._said(args[1], other)}"
            raise self._fault(part, message, self._hint(args, (one, other)))
        return BOOL

    def _arithmetic(self, part: Any, name: str, args: Sequence[Any]) -> Kind:
        one = self.kind(args[0])
        if name == "-" and one == kinds.STRING and args[1].WhichOneof("expr_kind") == "ident_expr":
            header = f"{args[0].select_expr.field}-{args[1].ident_expr.name}"
            hint = f"if the name is {header}, write {dotted(args[0].select_expr.operand) or 'x'}['{header}']"
            raise self._fault(part, f"- does not take {self._said(args[0], one)}", hint)
        other = self.kind(args[1])
        fits = [
            made
            for (a, b), made in kinds.ARITHMETIC[name].items()
            if one.name in (a, "any") and other.name in (b, "any")
        ]
        if fits:
            return fits[0] if len(fits) == 1 else ANY
        hint = ""
        if name == "+" and self.extra and kinds.STRING in (one, other):
            hint = "write string(x) + string(y)"
        elif name == "+" and {one.name, other.name} <= {"string", "list", "bytes", "any"}:
            hint = "proxies join no texts and no lists: compare the parts, or use matches()"
        elif {one.name, other.name} <= kinds.NUMBERS:
            hint = self._hint(args, (one, other))
        message = f"{name} does not take {self._said(args[0], one)} and {self._said(args[1], other)}"
        raise self._fault(part, message, hint)

    def _among(self, part: Any, name: str, args: Sequence[Any]) -> Kind:
        one, held = self.kind(args[0]), self.kind(args[1])
        if held.name not in ("list", "map", "any"):
            hint = f"write {written(args[1]) or 'x'}.contains(...)" if held.name == "string" else ""
            raise self._fault(part, f"in looks in lists and maps, not in {self._said(args[1], held)}", hint)
        items = held.values if held.name == "list" else Kind(held.keys) if held.keys else None
        if items is not None and not _comparable(one, items):
            what = "the list holds" if held.name == "list" else "the map's keys are"
            raise self._fault(part, f"it is never true: {self._is(args[0], one)}, {what} {items}")
        return BOOL

    def _function(self, part: Any) -> Kind:
        call = part.call_expr
        name, args, of_value = call.function, list(call.args), False
        if call.HasField("target"):
            before = dotted(call.target)
            if before and not self._is_value(before):
                name = f"{before}.{name}"
            else:
                args, of_value = [call.target, *args], True
        ways = self._ways(part, name, len(args), of_value)
        given = [self.kind(one) for one in args]
        for way in ways:
            if all(kind == ANY or kind.name in takes for kind, takes in zip(given, way.takes, strict=True)):
                self._constants(name, args)
                return way.gives
        for one, kind, takes in zip(args, given, ways[0].takes, strict=True):
            if kind != ANY and kind.name not in takes:
                expected = " or ".join(sorted(takes))
                raise self._fault(one, f"{name}() takes {expected}, not {self._said(one, kind)}", whole=True)
        raise self._fault(part, f"{name}() does not take these together")

    def _is_value(self, name: str) -> bool:
        first = name.partition(".")[0]
        return first in kinds.GROUPS or first in self.extra or (name == first and name not in ("re", "math", "cel"))

    def _ways(self, part: Any, name: str, count: int, of_value: bool) -> list[kinds.Function]:
        """The ways to call a function that fit by number and form; proxies refuse others before any request."""
        if name not in kinds.FUNCTIONS:
            hint = "compare the value itself" if name == "string" else _near(name, kinds.FUNCTIONS)
            raise self._fault(part, f"proxies do not have {name}()", hint)
        ways = [
            one
            for one in kinds.FUNCTIONS[name]
            if len(one.takes) == count and (one.of_value if of_value else one.alone)
        ]
        if not ways:
            forms = [_form(name, one) for one in kinds.FUNCTIONS[name]]
            raise self._fault(part, f"{name}() is not called so", f"write {' or '.join(forms)}")
        return ways

    def _constants(self, name: str, args: Sequence[Any]) -> None:
        """Texts that a function cannot read."""
        for at, one in enumerate(args):
            if one.const_expr.WhichOneof("constant_kind") != "string_value":
                continue
            text = one.const_expr.string_value
            if kinds.PATTERN_OF.get(name) == at:
                self._pattern(one, text)
            elif name in kinds.CONVERSIONS and not _reads(name, text):
                raise self._fault(one, f"{name}() cannot read {text!r}", _FORMS.get(name, ""))

    def _pattern(self, part: Any, text: str) -> None:
        options = re2.Options()
        options.log_errors = False
        try:
            compiled = re2.compile(text, options=options)
        except re2.error as error:
            raise self._fault(part, f"{text!r} is not a regular expression: {_plain(error)}") from None
        if compiled.programsize > PROGRAM_MAX:
            message = (
                f"a regular expression of {compiled.programsize} steps: proxies take {PROGRAM_MAX} in an expression"
            )
            raise self._fault(part, message, "use several, with ||, or startsWith, endsWith, contains")

    # -- words --

    def _said(self, part: Any, kind: Kind) -> str:
        """A part as a message names it."""
        source = written(part)
        return f"{source} ({kind})" if source else str(kind)

    def _is(self, part: Any, kind: Kind) -> str:
        if kind == kinds.NULL:
            return "the other is null"
        source = written(part)
        return f"{source} is {kind}" if source else f"one side is {kind}"

    def _hint(self, args: Sequence[Any], given: tuple[Kind, Kind]) -> str:
        """How two kinds may be brought together."""
        for part, one, other in zip(args, given, reversed(given), strict=True):
            source = written(part)
            if one == kinds.NULL:
                return "what is not there is not null: write has(...)"
            if other.name in ("duration", "timestamp") and one.name in ("string", "int", "uint", "double"):
                return f"write {other}({_FORM_OF[other.name]})"
            if one == kinds.STRING and other.name in kinds.NUMBERS:
                if part.WhichOneof("expr_kind") != "const_expr":
                    return f"write {other}({source or '...'})"
                number = _reads("double", part.const_expr.string_value)
                return "write the number without quotes" if number else "write a number"
            if one.name in kinds.NUMBERS and other.name in kinds.NUMBERS and one != other:
                return f"write {other}({source or '...'})"
        return ""


_OPERATORS: Mapping[str, Callable[[_Walk, Any, str, Sequence[Any]], Kind]] = {
    **dict.fromkeys(("_&&_", "_||_", "!_"), _Walk._logical),
    **dict.fromkeys(("_==_", "_!=_"), _Walk._equal),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _Walk._order),
    **dict.fromkeys(("_+_", "_-_", "_*_", "_/_", "_%_"), _Walk._arithmetic),
    "_?_:_": _Walk._choice,
    "-_": _Walk._negative,
    "_[_]": _Walk._index,
    "@in": _Walk._among,
}
_FORM_OF = {"duration": "'5s'", "timestamp": "'2026-01-31T12:00:00Z'"}
_FORMS = {
    "duration": "write 5s, 1h30m, 250ms",
    "timestamp": "write 2026-01-31T12:00:00Z",
    "bool": "write true or false",
}


def _comparable(one: Kind, other: Kind) -> bool:
    if ANY in (one, other) or one.name == other.name:
        return True
    return one.name in kinds.NUMBERS and other.name in kinds.NUMBERS


def _reads(function: str, text: str) -> bool:
    """Whether a function reads a text, asked of the evaluator that proxies have."""
    literal = msgspec.json.encode(text).decode()
    try:
        found = _parser().compile(f"{function}({literal})").eval()
    except RuntimeError:
        return False
    return bool(found.type() != cel.Type.ERROR)


def _form(name: str, way: kinds.Function) -> str:
    names = [f"'{'/'.join(sorted(one))}'" if one == {"string"} else "x" for one in way.takes]
    return f"x.{name}({', '.join(names[1:])})" if way.of_value else f"{name}({', '.join(names)})"


def _near(name: str, known: Any) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else ""


def _plain(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


_SPELLED = {"=": "write ==", "&": "write &&", "|": "write ||", "and": "write &&", "or": "write ||", "not": "write !"}
_SPELLED["%"] = "commands of formats are none here: request.headers['x-name'], request.method, response.code"


def _unread(error: str, expression: str) -> CelProblem:
    """The first fault of an expression that is none, as `line 1, column 18: ...`."""
    line = error.splitlines()[0].partition(_PLACE)[2]
    row, _, rest = line.partition(":")
    column, _, reason = rest.partition(":")
    lines = expression.splitlines()
    if not (row.isdecimal() and column.isdecimal() and 0 < int(row) <= len(lines)):
        return CelProblem(error.splitlines()[0])
    reason = reason.strip().removeprefix("Syntax error: ").removesuffix(" [INVALID_ARGUMENT]")
    at = lines[int(row) - 1][int(column) - 1 :].split(maxsplit=1)
    found = at[0] if at else ""
    hint = _SPELLED.get(found, _SPELLED.get(found[:1], ""))
    return CelProblem(f"line {row}, column {column}: {reason}", hint)
