"""The budget of label sets: collapsed step by step, told, and given back."""

import pytest

from argosy.mixer.budget import LabelBudget, collapse_all_but_own, collapse_peer
from argosy.mixer.join import Labels, join

from .mesh import DIRECTORY, node, tags

OWNER = ("default", "productpage-v1")


def labels(peer: str = "reviews-v2", code: str = "200", reporter: str = "source", **more: str) -> Labels:
    given = (*tags(peer=f"{peer}.default.workload", code=code, reporter=reporter), *more.items())
    return join(DIRECTORY, node("productpage-v1"), given).labels


def test_within_the_budget_nothing_is_collapsed() -> None:
    budget = LabelBudget(workload_sets_max=2)
    for peer in ("reviews-v2", "reviews-v3", "reviews-v2"):
        assert budget.admit(OWNER, labels(peer), 1) == labels(peer)
    assert (len(budget), budget.collapsed, budget.over) == (2, 0, set())


@pytest.mark.parametrize("reporter, peer", [("source", "destination"), ("destination", "source")])
def test_beyond_it_the_other_end_and_peoples_own_tags_are_collapsed(reporter: str, peer: str) -> None:
    found = dict(collapse_peer(labels(reporter=reporter, request_host="evil.example")))
    whole = dict(labels(reporter=reporter))
    gone = {name for name, value in found.items() if value == "overflow"}
    assert gone == {name for name in whole if name.startswith(f"{peer}_") and "_service_name" not in name} - {
        "destination_service",
        "destination_service_namespace",
    } | {"request_host"}
    assert all(found[name] == value for name, value in whole.items() if name not in gone)


def test_far_beyond_it_only_who_reports_is_kept() -> None:
    found = dict(collapse_all_but_own(labels()))
    assert found["source_workload"] == "productpage-v1"
    assert found["reporter"] == "source"
    assert found["destination_service"] == found["response_code"] == "overflow"


def test_whatever_comes_a_workload_has_a_bounded_number_of_label_sets() -> None:
    budget = LabelBudget(workload_sets_max=10)
    admitted = {budget.admit(OWNER, labels(f"w{number}", str(number % 500 + 100)), 1) for number in range(3000)}
    assert len(admitted) == len(budget) <= 3 * 10 + 1
    assert budget.over == {OWNER}


def test_one_workloads_flood_leaves_others_their_labels() -> None:
    budget = LabelBudget(workload_sets_max=10)
    for number in range(1000):
        budget.admit(OWNER, labels(f"w{number}"), 1)
    assert budget.admit(("default", "other"), labels("reviews-v3"), 1) == labels("reviews-v3")


def test_beyond_the_meshs_budget_everything_is_overflow() -> None:
    budget = LabelBudget(sets_max=3)
    found = [budget.admit((str(number), "w"), labels(f"w{number}"), 1) for number in range(9)]
    assert {value for _, value in found[-1]} == {"overflow"}
    assert len(budget) == 4
    assert budget.mesh_over
    assert budget.limits[0] == 3


def test_what_is_idle_is_given_back_and_sooner_if_its_workload_is_gone() -> None:
    budget = LabelBudget(workload_sets_max=2)
    one, two = labels("reviews-v2"), labels("reviews-v3")
    budget.admit(OWNER, one, 0)
    budget.admit(OWNER, two, 0)
    assert budget.sweep(301, gone=lambda found: found == one) == [one]
    budget.admit(OWNER, two, 3000)
    assert budget.sweep(3700, gone=lambda found: False) == []
    assert budget.sweep(6700, gone=lambda found: False) == [two]
    assert (len(budget), budget.expired) == (0, 2)


def test_collapsed_label_sets_in_use_are_not_given_back() -> None:
    budget = LabelBudget(workload_sets_max=1)
    budget.admit(OWNER, labels("a"), 0)
    collapsed = budget.admit(OWNER, labels("b"), 0)
    assert budget.admit(OWNER, labels("c"), 3500) == collapsed
    assert budget.sweep(3700, gone=lambda found: False) == [labels("a")]


def test_what_is_given_back_is_room_for_others_of_the_workload() -> None:
    budget = LabelBudget(workload_sets_max=1)
    assert budget.admit(OWNER, labels("reviews-v2"), 0) == labels("reviews-v2")
    assert budget.admit(OWNER, labels("reviews-v3"), 0) != labels("reviews-v3")
    budget.sweep(4000, gone=lambda found: False)
    assert budget.admit(OWNER, labels("reviews-v3"), 4000) == labels("reviews-v3")
