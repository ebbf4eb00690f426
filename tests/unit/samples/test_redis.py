"""The image redis is the machine's own redis-server."""

import pytest

from argosy.samples import redis


def test_what_is_said_goes_over_what_the_image_says() -> None:
    image = list(redis.IMAGE_SETTINGS)
    assert redis.redis_argv([]) == ["redis-server", *image]
    assert redis.redis_argv(["/etc/r.conf", "--bind", "::"]) == ["redis-server", "/etc/r.conf", *image, "--bind", "::"]


def test_without_the_program_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(redis, "PROGRAM", "no-such-redis")
    with pytest.raises(SystemExit) as caught:
        redis.main()
    assert caught.value.code == 127
    assert "hint: install it" in capsys.readouterr().err
