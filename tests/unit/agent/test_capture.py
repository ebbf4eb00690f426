import shutil
import subprocess

import pytest

from argosy.agent.capture import capture_rules, no_capture_rules
from argosy.agent.pod import Exclusions
from argosy.agent.privileges import Privileges

ROOT, ROOTLESS = Privileges(rootless=False), Privileges(rootless=True)
NODE = "10.88.0.1"


def outbound(text: str) -> list[str]:
    return [line.removeprefix("-A ARGOSY_OUTPUT ") for line in text.splitlines() if line.startswith("-A ARGOSY_OUTPUT")]


def test_outbound_rules_stand_in_the_order_that_prevents_loops():
    assert outbound(capture_rules(Exclusions(), ROOT, node_address=NODE)) == [
        "-s 127.0.0.6/32 -o lo -j RETURN",
        "! -d 127.0.0.1/32 -o lo -p tcp -m owner --uid-owner 1337 -j ARGOSY_TO_INBOUND",
        "-o lo -m owner ! --uid-owner 1337 -j RETURN",
        "-m owner --uid-owner 1337 -j RETURN",
        "-d 127.0.0.1/32 -j RETURN",
        "-d 10.88.0.1/32 -j RETURN",
        "-j ARGOSY_TO_OUTBOUND",
    ]


def test_rootless_rules_match_the_mark_and_nothing_else_changes():
    text = capture_rules(Exclusions(), ROOTLESS, node_address=NODE)
    assert "owner" not in text
    swapped = text.replace("-m mark --mark", "-m owner --uid-owner").replace(
        "-m mark ! --mark", "-m owner ! --uid-owner"
    )
    assert swapped == capture_rules(Exclusions(), ROOT, node_address=NODE)


def test_the_sidecars_own_ports_are_not_captured():
    text = capture_rules(Exclusions(), ROOT, node_address=NODE)
    for port in (15020, 15021, 15090):
        assert f"-A ARGOSY_INBOUND -p tcp --dport {port} -j RETURN" in text


def test_excluded_ports_and_ranges_return_before_the_capture():
    exclusions = Exclusions(exclude_inbound=(7000,), exclude_outbound=(3306,), exclude_ranges=("10.0.0.0/8",))
    text = capture_rules(exclusions, ROOT, node_address=NODE)
    lines = outbound(text)
    assert lines[-3:] == ["-p tcp --dport 3306 -j RETURN", "-d 10.0.0.0/8 -j RETURN", "-j ARGOSY_TO_OUTBOUND"]
    assert text.index("--dport 7000 -j RETURN") < text.index("-A ARGOSY_INBOUND -p tcp -j ARGOSY_TO_INBOUND")


def test_only_included_ranges_and_ports_are_captured_when_named():
    exclusions = Exclusions(include_ranges=("10.96.0.0/16",), include_outbound=(443,), include_inbound=("8080",))
    text = capture_rules(exclusions, ROOT, node_address=NODE)
    assert outbound(text)[-2:] == [
        "-p tcp --dport 443 -j ARGOSY_TO_OUTBOUND",
        "-d 10.96.0.0/16 -j ARGOSY_TO_OUTBOUND",
    ]
    assert "-A ARGOSY_INBOUND -p tcp --dport 8080 -j ARGOSY_TO_INBOUND" in text
    assert "-A ARGOSY_INBOUND -p tcp -j ARGOSY_TO_INBOUND" not in text


def test_no_ranges_at_all_means_nothing_outbound_is_captured():
    text = capture_rules(Exclusions(include_ranges=()), ROOT, node_address=NODE)
    assert not [line for line in outbound(text) if line.endswith("ARGOSY_TO_OUTBOUND")]


def test_texts_are_whole_tables():
    for text in (capture_rules(Exclusions(), ROOT, node_address=NODE), no_capture_rules()):
        assert text.startswith("*nat\n:PREROUTING ACCEPT")
        assert text.endswith("COMMIT\n")
    assert "ARGOSY" not in no_capture_rules()


@pytest.mark.skipif(not shutil.which("iptables-restore"), reason="iptables is not installed")
@pytest.mark.parametrize("privileges", [ROOT, ROOTLESS])
def test_iptables_reads_the_text(privileges):
    exclusions = Exclusions(exclude_inbound=(7000,), exclude_outbound=(3306,), exclude_ranges=("10.0.0.0/8",))
    text = capture_rules(exclusions, privileges, node_address=NODE)
    # In a network of its own, twice: the second time must give the same table.
    argv = [
        "unshare",
        "--net",
        "sh",
        "-c",
        'printf "%s" "$1" | iptables-restore && printf "%s" "$1" | iptables-restore && '
        "iptables-save -t nat | grep -c '^-A'",
        "sh",
        text,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if "not permitted" in done.stderr:
        pytest.skip("this user may not make a network namespace")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len([line for line in text.splitlines() if line.startswith("-A")])


def test_calls_to_ports_that_the_proxy_serves_besides_its_usual_ones_mean_it() -> None:
    rules = capture_rules(Exclusions(), ROOT, node_address=NODE, own_ports=(15091,))
    assert "-A ARGOSY_INBOUND -p tcp --dport 15091 -j RETURN" in rules
    assert "15091" not in capture_rules(Exclusions(), ROOT, node_address=NODE)
