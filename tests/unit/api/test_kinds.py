"""Kinds by the words that people use for them."""

from argosy.api.kinds import KINDS, nearest_kind, resolve_kind


def test_names_plurals_and_short_names_resolve() -> None:
    for word in ("VirtualService", "virtualservice", "virtualservices", "vs"):
        assert resolve_kind(word) is KINDS["VirtualService"]
    assert resolve_kind("po") is KINDS["Pod"]
    assert resolve_kind("apikeys") is KINDS["apikey"]
    assert resolve_kind("logentries") is KINDS["logentry"]
    assert resolve_kind("nonsense") is None


def test_words_are_unique() -> None:
    words = [w for k in KINDS.values() for w in {k.name.lower(), k.plural, *k.short_names}]
    assert len(words) == len(set(words))


def test_a_misspelled_kind_has_a_nearest_one() -> None:
    assert nearest_kind("destinationRule") == "DestinationRule"
    assert nearest_kind("xyz") == ""
