"""Types of templates' fields."""

import msgspec
import pytest

from argosy.api.mixer_templates import TEMPLATES
from argosy.mixer.attributes import VOCABULARY, ValueType
from argosy.mixer.field_types import ANY, FIELD_TYPES, MEASURES, compile_typed, types_of
from argosy.mixer.syntax import ExpressionError


def test_each_type_is_that_of_a_field_that_exists() -> None:
    for template, fields in FIELD_TYPES.items():
        for path in fields:
            struct: type[msgspec.Struct] = TEMPLATES[template]
            for name in path.split("."):
                found = {field.name: field for field in msgspec.structs.fields(struct)}
                assert name in found, (template, path)
                if isinstance(found[name].type, type) and issubclass(found[name].type, msgspec.Struct):
                    struct = found[name].type


@pytest.mark.parametrize("template", [name for name in TEMPLATES if name != "listentry"])
def test_each_text_of_a_compiled_template_has_a_type(template: str) -> None:
    texts = [field.name for field in msgspec.structs.fields(TEMPLATES[template]) if field.type is str]
    assert all(types_of(template, name) is not ANY for name in texts)


def test_a_field_that_is_not_named_has_any_type() -> None:
    assert types_of("listentry", "value") is ANY
    assert types_of("somebody-s", "value") is ANY


def test_a_text_that_reads_as_a_duration_is_a_text_where_one_is_wanted() -> None:
    assert compile_typed('"5s"', types_of("logentry", "severity"), VOCABULARY).evaluate({}) == "5s"
    assert compile_typed('"5s"', MEASURES, VOCABULARY).type is ValueType.DURATION
    with pytest.raises(ExpressionError, match="is not a number"):
        compile_typed('"five"', MEASURES, VOCABULARY)
