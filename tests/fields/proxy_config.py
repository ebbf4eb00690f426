"""ProxyConfig."""

from __future__ import annotations

from tests.fields.cases import Case

KIND = "ProxyConfig"
HEAD = "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata: {name: it}\nspec: "
NODE = "tests/unit/inject/test_proxy_settings.py::"

CASES: list[Case] = [
    Case(KIND, ("image", "image.imageType"), f"{HEAD}{{image: {{imageType: distroless}}}}",
         refused="there is one proxy: the Envoy that comes with Argosy"),
    Case(KIND, ("concurrency",), node=NODE + "test_the_nearest_proxy_config_says_how_many_threads"),
    Case(KIND, ("environmentVariables",), node=NODE + "test_environment_variables_reach_the_proxy"),
    Case(KIND, ("selector.matchLabels",), node=NODE + "test_a_selector_limits_a_proxy_config_to_its_workloads"),
]  # fmt: skip
