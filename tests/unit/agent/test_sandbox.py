import subprocess

import pytest

from argosy.agent.pod import PodPlan, Role, Volume
from argosy.agent.privileges import Privileges
from argosy.agent.sandbox import NodePaths, Sandboxes

PATHS = NodePaths(home="/home/some one/argosy", envoy="/run/argosy/envoy", keep=(("/tmp/v", "/run/argosy/keep/0"),))
SIDECAR = PodPlan("shop", "cart-1", "10.88.0.7", Role.SIDECAR)
PLAIN = PodPlan("shop", "cart-1", "10.88.0.7", Role.NONE)
MOUNTED = PodPlan("shop", "cart-1", "10.88.0.7", Role.NONE, volumes=(Volume("/data/it's", "m"), Volume("/etc/b", "m")))
GATEWAY = PodPlan("istio-system", "gw", "10.88.0.8", Role.ROUTER)


def boxes(rootless: bool = False) -> Sandboxes:
    return Sandboxes(PATHS, Privileges(rootless), "10.88.0.1")


def script(argv: tuple[str, ...]) -> str:
    return argv[argv.index("-c") + 1]


@pytest.mark.parametrize("plan", [SIDECAR, PLAIN, GATEWAY, MOUNTED])
@pytest.mark.parametrize("rootless", [False, True])
def test_the_set_up_is_a_valid_shell_script(plan, rootless):
    text = script(boxes(rootless).holder_argv(plan, link="pod-0-7"))
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0


def test_only_sidecars_capture_traffic():
    assert "iptables-restore" in script(boxes().holder_argv(SIDECAR, link="l"))
    assert "iptables-restore" not in script(boxes().holder_argv(PLAIN, link="l"))
    assert "iptables-restore" not in script(boxes().holder_argv(GATEWAY, link="l"))


def test_the_application_sees_neither_the_state_nor_the_key():
    text = script(boxes().holder_argv(SIDECAR, link="l"))
    assert "tmpfs '/home/some one/argosy'" in text
    assert "/etc/argosy/proxy" not in text


def test_files_are_covered_after_what_lies_below_them_was_taken():
    text = script(boxes().holder_argv(SIDECAR, link="l"))
    order = [
        "/etc/resolv.conf",
        "/run/argosy/keep/0 /mnt/0",
        "tmpfs /tmp",
        "tmpfs /run",
        "--move /mnt/0 /tmp/v",
        "umount /mnt",
        "size=4k tmpfs '/home/some one/argosy'",
    ]
    places = [text.index(word) for word in order]
    assert places == sorted(places)


def test_the_network_is_linked_before_the_pods_own_proc_covers_the_nodes():
    text = script(boxes().holder_argv(SIDECAR, link="l"))
    assert text.index("netns /proc/1/ns/net") < text.index("pod-proc /proc proc")
    assert text.index("mount --all") < text.index("echo ready") < text.index("--ignore-signal=CHLD sleep")


def test_root_is_kept_from_writing_what_concerns_the_machine():
    assert "sysrq-trigger" in script(boxes().holder_argv(PLAIN, link="l"))
    rootless = script(boxes(rootless=True).holder_argv(PLAIN, link="l"))
    assert "for one in sys; do" in rootless
    assert "remount,bind,ro /\n" not in rootless


def test_a_proxy_sees_no_other_pods_folder():
    text = script(boxes().envoy_argv(SIDECAR, 42))
    own = text.index("mount --bind /run/argosy/pods/10.88.0.7/proxy")
    assert own < text.index("tmpfs /run/argosy/pods\n") < text.index("mount -t proc")
    assert "tmpfs /run/argosy/keep/0\n" in text


def test_applications_run_without_capabilities_and_envoy_as_its_own_user():
    app = " ".join(boxes().app_argv(42, ["prog", "x"]))
    assert app.endswith("setpriv --bounding-set -all --inh-caps -all --no-new-privs prog x")
    envoy = " ".join(boxes().envoy_argv(SIDECAR, 42))
    assert "--reuid 1337 --regid 1337" in envoy
    rootless = " ".join(boxes(rootless=True).envoy_argv(SIDECAR, 42))
    assert "--reuid" not in rootless
    assert "-all,+net_admin" in rootless


def test_the_resolver_is_the_node():
    lines = boxes().resolv_conf("shop").splitlines()
    assert lines == [
        "search shop.svc.cluster.local svc.cluster.local cluster.local",
        "nameserver 10.88.0.1",
        "options ndots:5",
    ]


def test_hosts_name_the_pod():
    assert "10.88.0.7\tcart-1\n" in boxes().hosts(SIDECAR)
