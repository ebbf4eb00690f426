"""Where Envoy's RBAC filters write what they found, for those who count, log and trace it. Constants."""

from __future__ import annotations

HTTP_NOTES, TCP_NOTES = "envoy.filters.http.rbac", "envoy.filters.network.rbac"
"""The metadata of requests and of connections."""
NOTES = {"AUDIT": "audit_", "DENY": "dry_run_deny_", "ALLOW": "dry_run_allow_"}
"""By action, the prefix of what is noted of rules that are not enforced. Each has a filter of its own: where one
refuses, Envoy writes down nothing of what it only tries."""
RESULT, POLICY = "shadow_engine_result", "shadow_effective_policy_id"
MATCHED = "denied"
"""The result of a rule that is noted as if it refused."""
