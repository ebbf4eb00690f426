"""WasmPlugin and TrafficExtension: can a proxy run this?

Given the typed object, adds findings to a `Check`. What only the proxy can tell (a script that does not compile, a
module that does not load) it tells when it is given it. Source: Istio's API, extensions v1alpha1, and its rules.
"""

from __future__ import annotations

from string import hexdigits
from urllib.parse import urlsplit

from argosy.api.attributegen import GeneratorError, Match, is_generator, parse_generator
from argosy.api.extensions import TrafficExtension, TrafficSelector, WasmModule, WasmPlugin
from argosy.core.generated_attributes import chain, is_name
from argosy.core.hosts import is_http_url
from argosy.core.tag_value import TagValueError, parse_tag_value
from argosy.galley.validate.cel import EXPRESSION_CHARS_MAX, cel_problem
from argosy.galley.validate.check import Check
from argosy.galley.validate.security import validate_selector

_ENV_MAX, _NAME_CHARS_MAX, _VALUE_CHARS_MAX = 256, 256, 2048
_CODE_CHARS_MAX = 65_536


def validate_wasm_plugin(check: Check, spec: WasmPlugin) -> None:
    """All rules about one WasmPlugin."""
    validate_selector(check, spec.selector)
    _match(check, spec.match, of_generator=is_generator(spec))
    _module(check, "spec", spec)


def validate_traffic_extension(check: Check, spec: TrafficExtension) -> None:
    """All rules about one TrafficExtension."""
    validate_selector(check, spec.selector)
    _match(check, spec.match, of_generator=is_generator(spec.wasm))
    check.one_of("spec", {"wasm": spec.wasm is not None, "lua": spec.lua is not None})
    if spec.wasm is not None:
        _module(check, "spec.wasm", spec.wasm)
    if spec.lua is not None:
        at = "spec.lua.inlineCode"
        check.not_empty(at, spec.lua.inline_code.strip(), "a script")
        _length(check, at, spec.lua.inline_code, _CODE_CHARS_MAX)


def _match(check: Check, selectors: tuple[TrafficSelector, ...], *, of_generator: bool) -> None:
    for index, one in enumerate(selectors):
        if one.ports and of_generator:
            message = "ports: what a metric says is one for all ports of a side"
            check.error("ARG0121", f"spec.match[{index}].ports", message, "put destination.port into the conditions")
        for place, port in enumerate(one.ports):
            check.port(f"spec.match[{index}].ports[{place}].number", port.number)


def _module(check: Check, at: str, module: WasmModule) -> None:
    if is_generator(module):
        _generator(check, at, module)
        return
    if module.image_pull_policy != "UNSPECIFIED_POLICY":
        message = "imagePullPolicy: images are not fetched; a module is a file or comes over HTTP"
        check.error("ARG0011", f"{at}.imagePullPolicy", message, "leave it out")
    _url(check, at, module)
    if module.sha256 and (len(module.sha256) != 64 or not set(module.sha256) <= set(hexdigits.lower())):
        check.error("ARG0195", f"{at}.sha256", "a SHA-256 is 64 characters of 0-9 and a-f", "write what sha256sum says")
    _length(check, f"{at}.pluginName", module.plugin_name, _NAME_CHARS_MAX)
    if module.vm_config is None:
        return
    env = f"{at}.vmConfig.env"
    if len(module.vm_config.env) > _ENV_MAX:
        check.error("ARG0122", env, f"more than {_ENV_MAX} variables")
    check.unique(env, ((f"[{n}].name", one.name) for n, one in enumerate(module.vm_config.env)), "variable")
    for number, one in enumerate(module.vm_config.env):
        check.not_empty(f"{env}[{number}].name", one.name, "a name")
        _length(check, f"{env}[{number}].name", one.name, _NAME_CHARS_MAX)
        _length(check, f"{env}[{number}].value", one.value, _VALUE_CHARS_MAX)
        if one.value_from == "HOST" and one.value:
            message = "valueFrom HOST takes the proxy's own variable, so there is no value"
            check.error("ARG0109", f"{env}[{number}].value", message, "keep one of them")


def _generator(check: Check, at: str, module: WasmModule) -> None:
    """attributegen: its settings are all that counts, so whatever only a module that runs could have is refused."""
    for name, given in (("vmConfig", module.vm_config is not None), ("type", module.type == "NETWORK")):
        if given:
            check.error("ARG0121", f"{at}.{name}", f"{name}: attributegen is not run; metrics are given its values")
    config = f"{at}.pluginConfig"
    try:
        attributes = parse_generator(module)
    except GeneratorError as error:
        check.error("ARG0196", config + error.at, str(error))
        return
    named = ((f"[{n}].output_attribute", one.name) for n, one in enumerate(attributes))
    check.unique(f"{config}.attributes", named, "attribute")
    for index, one in enumerate(attributes):
        here = f"{config}.attributes[{index}]"
        if not is_name(one.name):
            message = f"{one.name!r} is not the name of a new attribute"
            check.error("ARG0196", f"{here}.output_attribute", message, "use letters, digits and '_'")
        for number, match in enumerate(one.matches):
            _generated(check, f"{here}.match[{number}]", match)
        if len(chain((each.condition, each.value) for each in one.matches)) > EXPRESSION_CHARS_MAX:
            check.error("ARG0122", f"{here}.match", f"longer than {EXPRESSION_CHARS_MAX} characters, all together")


def _generated(check: Check, at: str, match: Match) -> None:
    if set(match.value) & set("'\\%") or not match.value.isprintable():
        check.error("ARG0196", f"{at}.value", f"{match.value!r}: no quotes, backslashes or percent signs")
    if not match.condition:
        return
    if problem := cel_problem(match.condition):
        if problem.refused:
            check.error("ARG0191", f"{at}.condition", problem.message, problem.hint)
            return
        check.warn("ARG0193", f"{at}.condition", problem.message, problem.hint)
    try:
        parse_tag_value(chain([(match.condition, "x")]))
    except TagValueError as error:
        check.error("ARG0191", f"{at}.condition", f"cannot be worked out: {error}")


def _url(check: Check, at: str, module: WasmModule) -> None:
    try:
        parts = urlsplit(module.url)
    except ValueError:
        check.error("ARG0195", f"{at}.url", f"{module.url!r} is no URL")
        return
    scheme = parts.scheme or "oci"
    if scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            check.error("ARG0195", f"{at}.url", f"{module.url!r} names no file", "write file:///path/to/module.wasm")
    elif scheme in ("http", "https"):
        if not is_http_url(module.url) or parts.username is not None:
            check.error("ARG0195", f"{at}.url", f"{module.url!r} is not an address of http or https")
        elif scheme == "http" and not module.sha256:
            message = "whoever is on the way could put a program into proxies"
            check.error("ARG0195", f"{at}.url", message, "use https, or say sha256")
    elif scheme == "oci":
        message = "images are not fetched: no registry is asked"
        check.error(
            "ARG0121", f"{at}.url", f"url: {message}", "take the module out of the image and write file:// or https://"
        )
    else:
        check.error("ARG0195", f"{at}.url", f"{scheme}:// is not fetched", "write file:// or https://")


def _length(check: Check, at: str, text: str, most: int) -> None:
    if len(text) > most:
        check.error("ARG0122", at, f"longer than {most} characters")
