"""Tags of Telemetry objects, as a proxy's statistics say them."""

from tests.unit.mixer.mesh import DIRECTORY, node, tags

from argosy.mixer.join import join
from argosy.mixer.telemetry import take_apart
from argosy.pilot.build.metric_tags import metric_tags
from argosy.pilot.counted import Counted


def test_what_is_removed_and_what_mixer_knows_is_said_in_the_common_tag() -> None:
    counted = Counted(tags=(("gone", None), ("source_app", None), ("x", "upstream_peer.labels['app'].value")))
    assert metric_tags(counted, source=True) == ({"drop": "gone,source_app", "peer.x": "labels:app:"}, {})


def test_what_the_proxy_knows_has_tags_of_its_own() -> None:
    counted = Counted(tags=(("empty", "''"), ("request_host", "request.host"), ("service", "'mine'")))
    said, apart = metric_tags(counted, source=False)
    assert said == {}
    assert apart == {"request_host": "%REQ(:AUTHORITY)%", "tag.service": "mine", "empty": "unknown"}


def test_a_tag_is_called_as_its_label() -> None:
    counted = Counted(tags=(("a-b", "'x'"), ("1st", "upstream_peer.name"), ("c|d", None)))
    assert metric_tags(counted, source=True) == ({"drop": "c_d", "peer._1st": "name::"}, {"a_b": "x"})


def test_each_side_knows_the_other_one_only() -> None:
    counted = Counted(tags=(("x", "downstream_peer.labels['app'].value"),))
    assert metric_tags(counted, source=False) == ({"peer.x": "labels:app:"}, {})
    assert metric_tags(counted, source=True) == ({}, {"x": "unknown"})


def test_what_cannot_be_worked_out_is_unknown() -> None:
    assert metric_tags(Counted(tags=(("x", "upstream_peer.shoe_size"),)), source=True) == ({}, {"x": "unknown"})


def test_mixer_reads_what_is_said() -> None:
    """Both halves together: what Pilot writes into the common tag, Mixer makes labels of."""
    counted = Counted(tags=(("response_code", None), ("destination_x", "upstream_peer.labels['app'].value")))
    said, _ = metric_tags(counted, source=True)
    call = "|".join(f"{name}={value}" for name, value in {**dict(tags()), **said}.items())
    labels = dict(join(DIRECTORY, node("productpage-v1"), take_apart((("call", call),))).labels)
    assert labels["destination_x"] == "reviews"
    assert "response_code" not in labels
