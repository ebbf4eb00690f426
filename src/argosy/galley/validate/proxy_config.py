"""ProxyConfig: is what it says possible?

Given the typed object, adds findings to a `Check`. Source: Istio's ProxyConfig rules.
"""

from __future__ import annotations

from collections.abc import Mapping

from argosy.api.proxy_config import ProxyConfig
from argosy.galley.validate.check import Check, member

_CONCURRENCY_MAX = 1024


def validate_proxy_config(check: Check, config: ProxyConfig) -> None:
    """All rules about one ProxyConfig."""
    if config.selector is not None:
        check.labels("spec.selector.matchLabels", config.selector.match_labels)
    validate_start(check, "spec", config.concurrency, {"environmentVariables": config.environment_variables})


def validate_start(
    check: Check, at: str, concurrency: int | None, environments: Mapping[str, Mapping[str, str]]
) -> None:
    """What a proxy is started with. `environments`: variables, by the field that has them."""
    check.at_least(f"{at}.concurrency", concurrency, 0, _CONCURRENCY_MAX)
    for field, environment in environments.items():
        for name, value in environment.items():
            _validate_variable(check, member(f"{at}.{field}", name), name, value)


def _validate_variable(check: Check, at: str, name: str, value: str) -> None:
    if not name or "=" in name or not name.isprintable():
        check.error("ARG0101", at, f"{name!r} is not the name of an environment variable")
    check.printable(at, value)
