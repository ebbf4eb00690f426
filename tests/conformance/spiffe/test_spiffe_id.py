"""SPIFFE-ID rules S01-S05 and Istio's profile S25, by table."""

import pytest

from argosy.core.spiffe import SpiffeIDError, parse_spiffe_id, workload_id

GOOD = [
    "spiffe://td/a",
    "spiffe://td",
    "spiffe://td_1.x/a",
    "spiffe://1.2.3.4/a",
    "spiffe://a-b.c_d/A.b-c_d/9",
    "spiffe://td/...",
    "spiffe://td/.a",
    f"spiffe://td/{'a' * (2048 - len('spiffe://td/'))}",
    f"spiffe://{'d' * 255}/a",
]
BAD_FORM = [
    "",
    "td/a",
    "http://td/a",
    "https://td/a",
    "spiffe:/td/a",
    "spiffe:td/a",
    "spiffe:///a",
    "spiffe://",
    "spiffe://user@td/a",
    "spiffe://td:443/a",
    "spiffe://td:/a",
    "spiffe://td?q=1",
    "spiffe://td/a?q=1",
    "spiffe://td/a#f",
    "spiffe://td#f",
]
BAD_DOMAIN = ["spiffe://[::1]/a", "spiffe://t%64/a", "spiffe://tü/a", "spiffe://t d/a", f"spiffe://{'d' * 256}/a"]
BAD_PATH = [
    "spiffe://td/",
    "spiffe://td//",
    "spiffe://td/a/",
    "spiffe://td//a",
    "spiffe://td/a//b",
    "spiffe://td/.",
    "spiffe://td/..",
    "spiffe://td/a/../b",
    "spiffe://td/%41",
    "spiffe://td/ü",
    "spiffe://td/a;b",
    "spiffe://td/a b",
    "spiffe://td/a\x00",
    "spiffe://td/a\n",
    f"spiffe://td/{'a' * (2049 - len('spiffe://td/'))}",
]


@pytest.mark.parametrize("text", GOOD)
def test_s01_s05_good_ids_are_kept_as_written(text: str) -> None:
    assert str(parse_spiffe_id(text)) == text


@pytest.mark.parametrize("text", BAD_FORM)
def test_s01_bad_form_is_refused(text: str) -> None:
    with pytest.raises(SpiffeIDError):
        parse_spiffe_id(text)


@pytest.mark.parametrize("text", BAD_DOMAIN)
def test_s02_s05_bad_trust_domain_is_refused(text: str) -> None:
    with pytest.raises(SpiffeIDError):
        parse_spiffe_id(text)


@pytest.mark.parametrize("text", BAD_PATH)
def test_s04_s05_bad_path_is_refused(text: str) -> None:
    with pytest.raises(SpiffeIDError):
        parse_spiffe_id(text)


def test_s03_scheme_and_domain_compare_without_case_and_path_with() -> None:
    assert parse_spiffe_id("SPIFFE://TD/a") == parse_spiffe_id("spiffe://td/a")
    assert parse_spiffe_id("spiffe://td/A") != parse_spiffe_id("spiffe://td/a")


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "%2e", "a b", "ü", "a\x00", "a:b"])
def test_s25_names_that_break_out_of_the_profile_are_refused(name: str) -> None:
    with pytest.raises(SpiffeIDError):
        workload_id("td", "default", name)
    with pytest.raises(SpiffeIDError):
        workload_id("td", name, "default")
