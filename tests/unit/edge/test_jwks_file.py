"""Keys on disk: they come back as they were, only their owner can read them, and a broken file counts as none."""

import stat
from pathlib import Path

from argosy.api.jwks import parse_jwks
from argosy.edge.jwks_file import FILE, read_keys, write_keys
from argosy.pilot.key_sources import KeySource

KEYS = parse_jwks(
    '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "a"}]}'
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    held = [(KeySource("https://a/keys", discover=True, timeout_s=2), KEYS, 12.5)]
    write_keys(tmp_path, held)
    assert read_keys(tmp_path) == held
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_what_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    assert read_keys(tmp_path) == []
    for text in (
        "",
        "{}",
        '[{"uri": 1}]',
        '[{"uri": "a", "discover": false, "timeout_s": 1, "keys": "", "loaded_at": 0}]',
    ):
        (tmp_path / FILE).write_text(text)
        assert read_keys(tmp_path) == []
