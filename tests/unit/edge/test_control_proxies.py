import pytest

from argosy.edge.control_proxies import redact


@pytest.mark.parametrize(
    "key", ["private_key", "password", "session_ticket_keys", "generic_secret", "private_key_provider"]
)
def test_private_parts_are_redacted_at_any_depth(key: str):
    value = {"a": [{"tls_certificate": {key: {"inline_bytes": "hunter2"}, "certificate_chain": {"filename": "f"}}}]}
    told = redact(value)
    assert told == {"a": [{"tls_certificate": {key: "[redacted]", "certificate_chain": {"filename": "f"}}}]}
    assert "hunter2" not in str(told)
