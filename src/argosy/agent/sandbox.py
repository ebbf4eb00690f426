"""What is executed to make a pod and to start processes in it: shell text and argument vectors. Nothing is run here.

A pod is a network, mount, process, IPC and host-name namespace held by one sleeping process, its process 1. Its files:
an own resolv.conf and hosts, an own /tmp, /run, /proc, /dev/shm and terminals, the root file system and what concerns
the whole machine read-only, and Argosy's state hidden. Envoy runs in the pod's network but in mount and process
namespaces of its own: only there the pod's key can be seen, and no application sees or signals its proxy.

The process namespace is chosen by whoever starts a command made here: a new one for holders and Envoys, the holder's
for applications. So what is started is the application itself, and none that only waits for it.

Given paths inside the node; needs sh, env, mount, ip, iptables-restore, unshare, nsenter, setpriv.
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
CERTIFICATES = "certificates"
"""The folder of a pod whose application is given the proxy's certificate."""
_HIDE = "mount -t tmpfs -o mode=0755,nosuid,nodev,size=4k tmpfs"
_PROC = "mount -t proc -o nosuid,nodev,noexec proc /proc"
_VIEWS = """\
pod-pts /dev/pts devpts newinstance,nosuid,noexec,ptmxmode=0666,mode=0620
pod-shm /dev/shm tmpfs mode=1777,nosuid,nodev
pod-proc /proc proc nosuid,nodev,noexec"""
"""In the form of fstab(5). The names of the sources tell them from the node's, which are mounted there already."""
_MACHINE = ("sys", "irq", "bus", "fs", "scsi", "acpi", "driver", "sysrq-trigger")
"""Entries of /proc that concern the whole machine, not a process, and that uid 0 may write without any capability."""
_SLEEP = "exec env --ignore-signal=CHLD sleep infinity >/dev/null 2>&1"
"""As process 1 of a pod: with SIGCHLD ignored the kernel itself collects every orphan that ends."""
_OTHERS_READ_ONLY = (
    "while read -r _ _ _ _ at options _; do",
    "  case $at/ in // | /etc/ | /proc/* | /sys/* | /dev/* | /tmp/* | /run/*) continue ;; esac",
    "  case $options in ro | ro,*) continue ;; esac",
    '  at=$(printf %b "$at")',
    "  # One that is covered by another cannot be changed, nor reached.",
    '  mount -o remount,bind,ro "$at" || ! mountpoint -q "$at"',
    "done </proc/self/mountinfo",
)
"""Other file systems than the root's (say, /home) read-only as well; some of the names have escapes."""


_PLACE = """\
place() {
  path=$(realpath -m "$1")
  case $path in /tmp/* | /run/*) mkdir -p "$path"; return ;; esac
  at=$path
  while [ ! -d "$at" ]; do at=${at%/*}; at=${at:-/}; done
  if [ "$at" = "$path" ]; then return; fi
  mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /mnt/view
  for one in "${at%/}"/* "${at%/}"/.[!.]*; do
    name=${one##*/}
    if [ "$one" = /mnt ]; then continue; fi
    if [ -h "$one" ]; then cp -P "$one" /mnt/view
    elif [ -d "$one" ]; then mkdir "/mnt/view/$name"; mount --rbind "$one" "/mnt/view/$name"
    elif [ -e "$one" ]; then : >"/mnt/view/$name"; mount --bind "$one" "/mnt/view/$name"
    fi
  done
  mkdir -p "/mnt/view/${path#"${at%/}"/}"
  if [ "$at" != / ]; then mount --move /mnt/view "$at"; mount -o remount,bind,ro "$at"; return; fi
  mkdir /mnt/view/mnt /mnt/view/.node
  mount -t tmpfs -o mode=0755 tmpfs /mnt/view/mnt
  mkdir /mnt/view/mnt/view
  for one in /mnt/volume-*; do
    mkdir "/mnt/view/mnt/${one##*/}"
    mount --move "$one" "/mnt/view/mnt/${one##*/}"
  done
  cd /mnt/view; pivot_root . .node; cd /
  umount -l /.node; rmdir /.node
  mount -o remount,bind,ro /
}"""
"""Makes a folder to mount at, in the pod's view only: where its path does not exist, the nearest folder that does is
replaced by one that shows the same and can be added to."""


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
        isolate = ("unshare", "--net", "--mount", "--uts", "--ipc", "--propagation", "private")
        return (*isolate, "sh", "-e", "-c", self._setup(plan, link))

    def app_argv(self, holder_pid: int, argv: Sequence[str]) -> tuple[str, ...]:
        """An application's command, run inside the pod without any capability."""
        return (*_enter(holder_pid, "net", "mnt", "uts", "ipc"), *self.privileges.app_prefix(), *argv)

    def envoy_argv(self, plan: PodPlan, holder_pid: int) -> tuple[str, ...]:
        """Envoy's command: the pod's network, its own view of the files, its own uid (or the right to mark)."""
        directory = self.paths.of_pod(plan.ip)
        setup = "\n".join(
            [
                f"mount --bind {quote(self.paths.proxy_dir(plan.ip))} {PROXY_DIR}",
                f"mount --bind {quote(directory)}/resolv.conf /etc/resolv.conf",
                f"mount --bind {quote(directory)}/hosts /etc/hosts",
                # The pods' folders hold the keys of all proxies of this node.
                *(f"{_HIDE} {quote(path)}" for path in (self.paths.home, self.paths.pods, *self._held())),
                _PROC,
                'exec env --ignore-signal=CHLD "$@"',
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
        isolate = ("unshare", "--mount", "--ipc", "--propagation", "private", "sh", "-e", "-c", setup, "envoy")
        return (*_enter(holder_pid, "net", "uts"), *isolate, *self.privileges.envoy_prefix(), *envoy)

    def exec_argv(self, holder_pid: int, envoy_pid: int | None, argv: Sequence[str]) -> tuple[str, ...]:
        """A command that a person runs in the pod; with `envoy_pid` in Envoy's view of it, as Envoy's uid."""
        if envoy_pid is None:
            return self.app_argv(holder_pid, argv)
        return (*_enter(envoy_pid, "net", "mnt", "uts", "ipc"), *self.privileges.envoy_prefix(), *argv)

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
            own = plan.metrics.secure_ports
            rules = capture_rules(plan.exclusions, self.privileges, node_address=self.node_address, own_ports=own)
        return "\n".join(
            [
                *self._network(plan, link),
                f"iptables-restore <<'RULES'\n{rules}RULES" if rules else "",
                *self._files(plan),
                f"echo {READY}",
                _SLEEP,
            ]
        )

    def _network(self, plan: PodPlan, link: str) -> list[str]:
        node = self.node_address
        batch = [
            "link set lo up",
            # This /proc is the node's still, whose process 1 is in the node's network.
            f"link add eth0 type veth peer name {link} netns /proc/1/ns/net",
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
            lines += ["mount -o remount,bind,ro /", *_OTHERS_READ_ONLY]
        lines += [
            f"mount --bind {directory}/resolv.conf /etc/resolv.conf",
            f"mount --bind {directory}/hosts /etc/hosts",
            "mount -o remount,bind,ro /etc",
        ]
        shown = [(f"volumes/{n}", volume.path) for n, volume in enumerate(plan.volumes)]
        shown += [(CERTIFICATES, path) for path in plan.metrics.certificates]
        if self.paths.keep or shown:
            lines += ["mount -t tmpfs -o mode=0755 tmpfs /mnt"]
            lines += [f"mkdir /mnt/{n}; mount --rbind {quote(held)} /mnt/{n}" for n, held in enumerate(self._held())]
        lines += [f"mkdir -p {directory}/{CERTIFICATES}"] if plan.metrics.certificates else []
        for n, (folder, _) in enumerate(shown):
            lines += [f"mkdir /mnt/volume-{n}; mount --bind {directory}/{folder} /mnt/volume-{n}"]
            lines += [f"mount -o remount,bind,ro /mnt/volume-{n}"]
        lines += [
            "mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /tmp",
            "mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run",
        ]
        for n, (path, _) in enumerate(self.paths.keep):
            lines += [f"mkdir -p {quote(path)}; mount --move /mnt/{n} {quote(path)}"]
            if not self.privileges.rootless:
                lines += [f"mount -o remount,bind,ro {quote(path)}"]
        if shown:
            paths = [quote(path) for _, path in shown]
            lines += ["mkdir /mnt/view", _PLACE, *(f"place {path}" for path in paths)]
            lines += [f'mount --move /mnt/volume-{n} "$(realpath {path})"' for n, path in enumerate(paths)]
        if self.paths.keep or shown:
            lines += ["umount /mnt"]
        # Last: what is kept may hold the state, or be it.
        home = quote(self.paths.home)
        return [*lines, f"mkdir -p {home}; {_HIDE} {home}", *self._kernel()]

    def _kernel(self) -> list[str]:
        """The pod's own view of the kernel: all mounted by one program, which takes a tenth of the time of many."""
        # Where uid 0 is an ordinary user's, the kernel itself lets nobody write what concerns the machine, but for
        # what belongs to a namespace.
        entries = ("sys",) if self.privileges.rootless else _MACHINE
        return [
            f"echo '{_VIEWS}' >/run/views",
            f"for one in {' '.join(entries)}; do",
            '  if [ -e /proc/$one ]; then echo "/proc/$one /proc/$one none bind,ro" >>/run/views; fi',
            "done",
            # It reads regular files only.
            "mount --all --fstab /run/views",
            "rm /run/views",
        ]

    def _held(self) -> list[str]:
        return [held for _, held in self.paths.keep]


def _enter(pid: int, *kinds: str) -> tuple[str, ...]:
    options = {"net": "--net", "mnt": "--mount", "uts": "--uts", "ipc": "--ipc"}
    return ("nsenter", *(f"{options[kind]}=/proc/{pid}/ns/{kind}" for kind in kinds))
