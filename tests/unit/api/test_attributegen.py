"""attributegen's settings, in both spellings, and which modules are it."""

import pytest

from argosy.api.attributegen import GeneratedAttribute, GeneratorError, Match, is_generator, parse_generator
from argosy.api.extensions import WasmPlugin
from argosy.core.frozen import FrozenMap


@pytest.mark.parametrize(
    "url, wanted",
    [
        ("https://storage.example/proxy/attributegen-359dcd3a19f1.wasm", True),
        ("oci://r.example/istio/attributegen:1.0", True),
        ("oci://r.example/istio/attributegen@sha256:12", True),
        ("r.example/attributegen", True),
        ("file:///opt/attributegen.wasm", False),
        ("https://r.example/attributegenerator.wasm", False),
        ("https://attributegen.example/m.wasm", False),
    ],
)
def test_it_is_known_by_its_name_unless_it_is_a_file(url: str, wanted: bool) -> None:
    assert is_generator(WasmPlugin(url=url)) is wanted


def test_a_script_is_not_it() -> None:
    assert not is_generator(None)


def settings(**config: object) -> WasmPlugin:
    return WasmPlugin(url="oci://r/attributegen", plugin_config=FrozenMap(config))


def test_settings_are_read_in_both_spellings() -> None:
    match = [{"value": "x", "condition": " a "}, {"value": "y"}]
    for name in ("output_attribute", "outputAttribute"):
        found = parse_generator(settings(attributes=[{name: "it", "match": match}], debug=True))
        assert found == (GeneratedAttribute("it", (Match("x", "a"), Match("y"))),)


@pytest.mark.parametrize(
    "config, at",
    [
        ({}, ".attributes"),
        ({"attributes": "x"}, ".attributes"),
        ({"attributes": ["x"]}, ".attributes[0]"),
        ({"attribute": []}, ".attribute"),
        ({"attributes": [{"output_attribute": "a", "match": [{"value": 1}]}]}, ".attributes[0].match[0].value"),
    ],
)
def test_what_is_not_a_setting_is_told_by_its_place(config: dict[str, object], at: str) -> None:
    with pytest.raises(GeneratorError) as error:
        parse_generator(settings(**config))
    assert error.value.at == at
