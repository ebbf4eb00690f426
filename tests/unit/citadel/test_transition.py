"""Whether the authority may be changed now."""

import pytest

from argosy.citadel.authority import Authority, create_root
from argosy.citadel.errors import Code, TransitionError
from argosy.citadel.transition import (
    NAMES_TOLD_MAX,
    anchor,
    check_change,
    laggards_error,
    root_of,
    told,
)
from argosy.citadel.trust import Holder, Ledger

from .forge import DAY, NOW, ec_key, signing_certificate

OLD = create_root("td", ec_key("old"), now=NOW, serial=1)
NEW = create_root("td", ec_key("new"), now=NOW, serial=2)
RENEWED = create_root("td", ec_key("old"), now=NOW + DAY, serial=3)
BOTH = (*OLD.roots, *NEW.roots)
OLD_BOTH, NEW_BOTH = OLD.with_roots(BOTH), NEW.with_roots(BOTH)


def ledger(authority: Authority, bundle_of: Authority) -> Ledger:
    found = Ledger()
    found.report("agent", [Holder("default/a", authority.signer, bundle_of.trust().bundle, NOW + DAY)])
    return found


def refused(old: Authority, new: Authority, held: Ledger, now: float = NOW) -> bool:
    try:
        check_change(old, new, old.trust(), held, now=now)
    except TransitionError as error:
        return error.findings[0].code == Code.RELOAD_UNSAFE
    return False


@pytest.mark.parametrize(
    "old, new, held, expected",
    [
        (OLD, OLD_BOTH, ledger(OLD, OLD), False),
        (OLD, NEW_BOTH, ledger(OLD, OLD), True),
        (OLD, NEW, ledger(OLD, OLD), True),
        (OLD_BOTH, NEW_BOTH, ledger(OLD, OLD), True),
        (OLD_BOTH, NEW_BOTH, ledger(OLD, OLD_BOTH), False),
        (OLD_BOTH, NEW, ledger(OLD, OLD_BOTH), True),
        (NEW_BOTH, NEW, ledger(OLD, NEW_BOTH), True),
        (NEW_BOTH, NEW, ledger(NEW, NEW_BOTH), False),
        (OLD, RENEWED, ledger(OLD, OLD), False),
        (OLD, NEW, Ledger(), True),
        (OLD_BOTH, NEW, Ledger(), False),
    ],
    ids=[
        "one more root",
        "unknown signer",
        "all at once",
        "not everybody knows both",
        "everybody knows both",
        "old certificates in use",
        "one has not turned",
        "all have turned",
        "same name and key",
        "nobody there, root unknown",
        "nobody there",
    ],
)
def test_a_change_is_refused_exactly_if_somebody_would_be_cut_off(
    old: Authority, new: Authority, held: Ledger, expected: bool
) -> None:
    assert refused(old, new, held) is expected


def test_from_an_authority_that_has_expired_every_change_is_allowed() -> None:
    assert not refused(OLD, NEW, ledger(OLD, OLD), now=OLD.not_after)


def test_the_refusal_names_who_lags_behind() -> None:
    with pytest.raises(TransitionError, match="default/a"):
        check_change(OLD_BOTH, NEW_BOTH, OLD_BOTH.trust(), ledger(OLD, OLD), now=NOW)
    assert "a, b" in str(laggards_error("not yet", ("a", "b")))


def test_many_names_are_cut() -> None:
    names = [f"p{number}" for number in range(NAMES_TOLD_MAX + 3)]
    assert told(names).endswith("and 3 more")


def test_the_root_of_an_intermediate_is_found() -> None:
    root = signing_certificate("root")
    middle = signing_certificate("middle", parent=root, parent_key=ec_key("root"))
    authority = Authority("td", middle, ec_key("middle"), chain=(middle,), roots=(*NEW.roots, root))
    assert root_of(authority) == root
    assert root_of(NEW_BOTH) == NEW.certificate
    assert anchor(root) != anchor(middle)
    stranger = Authority("td", middle, ec_key("middle"), chain=(middle,), roots=NEW.roots)
    with pytest.raises(AssertionError):
        root_of(stranger)


def test_a_root_of_the_same_name_is_not_mistaken_for_the_one_that_signed() -> None:
    root, twin = signing_certificate("root"), signing_certificate("root", key=ec_key("twin"))
    middle = signing_certificate("middle", parent=root, parent_key=ec_key("root"))
    authority = Authority("td", middle, ec_key("middle"), chain=(middle,), roots=(twin, root))
    assert root_of(authority) == root
