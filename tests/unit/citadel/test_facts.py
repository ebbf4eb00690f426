"""What an authority is, and when its times are wrong."""

import pytest

from argosy.citadel.authority import Authority, create_root
from argosy.citadel.facts import dump_authority, expiry_findings, named_certificates
from argosy.core.errors import Level

from .forge import DAY, NOW, ec_key, signing_certificate

ROOT = signing_certificate("root")
MIDDLE = signing_certificate("middle", parent=ROOT, parent_key=ec_key("root"))


def test_every_certificate_is_named_once() -> None:
    authority = Authority("td", MIDDLE, ec_key("middle"), chain=(MIDDLE, ROOT), roots=(ROOT,))
    assert [what for what, _one in named_certificates(authority)] == ["the signing certificate", "an intermediate"]
    own = create_root("td", ec_key("own"), now=NOW, serial=1)
    assert [what for what, _one in named_certificates(own)] == ["the signing certificate"]


def test_the_signer_is_shown_with_its_root_if_it_has_one() -> None:
    authority = Authority("td", MIDDLE, ec_key("middle"), chain=(MIDDLE,), roots=(ROOT,))
    shown = dump_authority(authority)
    assert shown["signer"]["root"] == shown["roots"][0]["fingerprint"]
    other = authority.with_roots((signing_certificate("other"),))
    assert dump_authority(other)["signer"]["root"] == ""


@pytest.mark.parametrize(
    "at, level, words",
    [
        (NOW, None, ""),
        (NOW + 25 * DAY, Level.WARNING, "expires in 5 days"),
        (NOW + 30 * DAY - 90, Level.WARNING, "expires in 90 s"),
        (NOW + 30 * DAY, Level.ERROR, "expired 0 s ago"),
        (NOW + 30 * DAY + 8 * 3600, Level.ERROR, "expired 8 hours ago"),
        (NOW - 2 * DAY, Level.ERROR, "not valid yet"),
    ],
)
def test_expiry_is_a_warning_before_and_an_error_after(at: float, level: Level | None, words: str) -> None:
    found = expiry_findings([("a root", signing_certificate("root"))], now=at)
    assert [one.level for one in found] == ([level] if level else [])
    assert all(words in one.message for one in found)
