"""What is executed to make a pod and to start processes in it: shell text and argument vectors. Nothing is run here.

A pod is a network, mount and host-name namespace held by one sleeping process. Its files: an own resolv.conf and hosts,
an own /tmp and /run, the root file system read-only, and Argosy's state hidden. Envoy runs in the pod's network but in
a mount namespace of its own, the only one where the pod's key can be seen: the application never sees it.

Given paths inside the node; needs sh, mount, ip, iptables-restore, unshare, nsenter, setpriv (util-linux, iproute2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from argosy.agent.bootstrap import BOOTSTRAP_FILE, PROXY_DIR
from argosy.agent.capture import capture_rules
from argosy.agent.pod import PodPlan, Role
from argosy.agent.privileges import Privileges

READY = "ready"
_HIDE = "mount -t tmpfs -o mode=0755,nosuid,nodev,size=4k tmpfs"


@dataclass(frozen=True, slots=True)
class NodePaths:
    """Where things lie inside the node. `home` is hidden from pods.

    `keep`: (path, where the node holds a second view of it) for each path under /tmp or /run that programs still need,
    say a virtual environment made in /tmp.
    """

    home: str
    envoy: str
    pods: str = "/run/argosy/pods"
    keep: tuple[tuple[str, str], ...] = ()

    def of_pod(self, ip: str) -> str:
        """The pod's private directory. Named by address, because the path of a unix socket has at most 107 bytes."""
        return f"{self.pods}/{ip}"

    def proxy_dir(self, ip: str) -> str:
        """What Envoy sees as `PROXY_DIR`."""
        return f"{self.of_pod(ip)}/proxy"


@dataclass(frozen=True, slots=True)
class Sandboxes:
    """Builds the commands for any pod of one node."""

    paths: NodePaths
    privileges: Privileges
    node_address: str
    cluster_domain: str = "cluster.local"

    def holder_argv(self, plan: PodPlan, *, link: str) -> tuple[str, ...]:
        """The process that makes the pod's namespaces, sets them up, prints `READY` and then only sleeps.

        `link` is the name that the node's end of the pod's link gets.
        """
        isolate = ("unshare", "--net", "--mount", "--uts", "--propagation", "private")
        return (*isolate, "sh", "-e", "-c", self._setup(plan, link))

    def app_argv(self, holder_pid: int, argv: Sequence[str]) -> tuple[str, ...]:
        """An application's command, run inside the pod without any capability."""
        return (*_enter(holder_pid, "net", "mnt", "uts"), *self.privileges.app_prefix(), *argv)

    def envoy_argv(self, plan: PodPlan, holder_pid: int) -> tuple[str, ...]:
        """Envoy's command: the pod's network, its own view of the files, its own uid (or the right to mark)."""
        directory = self.paths.of_pod(plan.ip)
        setup = "\n".join(
            [
                f"mount --bind {quote(self.paths.proxy_dir(plan.ip))} {PROXY_DIR}",
                f"mount --bind {quote(directory)}/resolv.conf /etc/resolv.conf",
                f"mount --bind {quote(directory)}/hosts /etc/hosts",
                f"{_HIDE} {quote(self.paths.home)}",
                'exec "$@"',
            ]
        )
        envoy = [self.paths.envoy, "-c", f"{PROXY_DIR}/{BOOTSTRAP_FILE}", "--disable-hot-restart"]
        # Without a number Envoy takes one thread for each core.
        envoy += ["--concurrency", str(plan.concurrency)] if plan.concurrency else []
        envoy += [
            "--log-level",
            "warning",
            "--drain-time-s",
            "45",
            "--drain-strategy",
            "immediate",
        ]
        # People who look at an access log have just made a request.
        envoy += ["--file-flush-interval-msec", "500"]
        isolate = ("unshare", "--mount", "--propagation", "private", "sh", "-e", "-c", setup, "envoy")
        return (*_enter(holder_pid, "net", "uts"), *isolate, *self.privileges.envoy_prefix(), *envoy)

    def exec_argv(self, holder_pid: int, envoy_pid: int | None, argv: Sequence[str]) -> tuple[str, ...]:
        """A command that a person runs in the pod; with `envoy_pid` in Envoy's view of it, as Envoy's uid."""
        if envoy_pid is None:
            return self.app_argv(holder_pid, argv)
        return (*_enter(envoy_pid, "net", "mnt", "uts"), *self.privileges.envoy_prefix(), *argv)

    def resolv_conf(self, namespace: str) -> str:
        """The pod's resolv.conf, as Kubernetes writes it."""
        services = f"svc.{self.cluster_domain}"
        search = f"{namespace}.{services} {services} {self.cluster_domain}"
        return f"search {search}\nnameserver {self.node_address}\noptions ndots:5\n"

    def hosts(self, plan: PodPlan) -> str:
        """The pod's hosts file."""
        return f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{plan.ip}\t{plan.name}\n"

    def _setup(self, plan: PodPlan, link: str) -> str:
        rules = ""
        if plan.role is Role.SIDECAR:
            rules = capture_rules(plan.exclusions, self.privileges, node_address=self.node_address)
        return "\n".join(
            [
                *self._network(plan, link),
                f"iptables-restore <<'RULES'\n{rules}RULES" if rules else "",
                *self._files(plan),
                f"echo {READY}",
                "exec sleep infinity >/dev/null 2>&1",
            ]
        )

    def _network(self, plan: PodPlan, link: str) -> list[str]:
        node = self.node_address
        batch = [
            "link set lo up",
            # Process 1 of the node's process namespace is in the node's network.
            f"link add eth0 type veth peer name {link} netns 1",
            f"addr add {plan.ip}/32 dev eth0",
            "link set eth0 up",
            f"route add {node} dev eth0 scope link src {plan.ip}",
            f"route add default via {node} dev eth0 src {plan.ip}",
        ]
        return [
            f"hostname {quote(plan.name[:63])}",
            "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start",
            "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6",
            "ip -batch - <<'LINKS'\n" + "\n".join(batch) + "\nLINKS",
        ]

    def _files(self, plan: PodPlan) -> list[str]:
        directory = quote(self.paths.of_pod(plan.ip))
        lines = []
        if not self.privileges.rootless:
            # Applications run as uid 0 without capabilities: what root owns on this machine must not be theirs.
            lines.append("mount -o remount,bind,ro /")
        lines += [
            f"mount --bind {directory}/resolv.conf /etc/resolv.conf",
            f"mount --bind {directory}/hosts /etc/hosts",
            "mount -o remount,bind,ro /etc",
        ]
        if self.paths.keep:
            lines += ["mount -t tmpfs -o mode=0755 tmpfs /mnt"]
            lines += [f"mkdir /mnt/{n}; mount --rbind {quote(held)} /mnt/{n}" for n, held in self._held()]
        lines += [
            "mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /tmp",
            "mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run",
        ]
        for n, (path, _) in enumerate(self.paths.keep):
            lines += [f"mkdir -p {quote(path)}; mount --move /mnt/{n} {quote(path)}"]
        if self.paths.keep:
            lines += ["umount /mnt"]
        # Last: what is kept may hold the state, or be it.
        home = quote(self.paths.home)
        return [*lines, f"mkdir -p {home}; {_HIDE} {home}"]

    def _held(self) -> list[tuple[int, str]]:
        return [(n, held) for n, (_, held) in enumerate(self.paths.keep)]


def _enter(pid: int, *kinds: str) -> tuple[str, ...]:
    options = {"net": "--net", "mnt": "--mount", "uts": "--uts"}
    return ("nsenter", *(f"{options[kind]}=/proc/{pid}/ns/{kind}" for kind in kinds))
