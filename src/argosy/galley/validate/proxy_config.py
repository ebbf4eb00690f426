"""ProxyConfig: is what it says possible?

Given the typed object, adds findings to a `Check`. Source: Istio's ProxyConfig rules.
"""

from __future__ import annotations

from argosy.api.proxy_config import ProxyConfig
from argosy.galley.validate.check import Check, member

_CONCURRENCY_MAX = 1024


def validate_proxy_config(check: Check, config: ProxyConfig) -> None:
    """All rules about one ProxyConfig."""
    if config.selector is not None:
        check.labels("spec.selector.matchLabels", config.selector.match_labels)
    check.at_least("spec.concurrency", config.concurrency, 0, _CONCURRENCY_MAX)
    for name, value in config.environment_variables.items():
        at = member("spec.environmentVariables", name)
        if not name or "=" in name or not name.isprintable():
            check.error("ARG0101", at, f"{name!r} is not the name of an environment variable")
        check.printable(at, value)
