"""Can pods be made on this machine? Tries it, in namespaces that vanish at once, and says what is missing.

Gives findings; changes nothing. Each finding names what to install or which kernel setting stands in the way.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from argosy.core.errors import Finding, Level
from argosy.edge.processes import tool_path

NO_TOOL = "ARG0611"
NO_NAMESPACES = "ARG0612"
NO_CAPTURE = "ARG0613"
_TIMEOUT_S = 10
# program -> Debian package
_TOOLS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "hostname": "hostname",
    "ip": "iproute2",
    "iptables-restore": "iptables",
}
_RULES = """*nat
-A OUTPUT -p tcp -m mark ! --mark 1337 -j REDIRECT --to-ports 15001
-A OUTPUT -p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 127.0.0.1:1
COMMIT
*filter
-A OUTPUT -d 127.0.0.2 -p tcp -j REJECT --reject-with tcp-reset
COMMIT
"""


def check_platform(*, rootless: bool) -> list[Finding]:
    """All that stands in the way of running pods; empty if nothing does."""
    missing = [_missing(tool, package) for tool, package in _TOOLS.items() if not shutil.which(tool, path=tool_path())]
    if missing:
        return missing
    user = ["--user", "--map-root-user"] if rootless else []
    isolate = ["unshare", *user, "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc"]
    if error := _try([*isolate, "mount", "-t", "tmpfs", "tmpfs", "/run"], ""):
        hint = (
            "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces,"
            " kernel.apparmor_restrict_unprivileged_userns=0), or run as root"
            if rootless
            else "in a container: it needs --privileged, or the capabilities SYS_ADMIN and NET_ADMIN"
        )
        message = f"the kernel does not let pods be made: {error}"
        return [Finding(NO_NAMESPACES, Level.ERROR, message, hint=hint)]
    if error := _try([*isolate, "iptables-restore"], _RULES):
        message = f"traffic cannot be captured: {error}"
        hint = "the kernel needs nf_tables with nat, REDIRECT, mark and statistic (modprobe nf_tables nft_chain_nat)"
        return [Finding(NO_CAPTURE, Level.ERROR, message, hint=hint)]
    return []


def _missing(tool: str, package: str) -> Finding:
    return Finding(NO_TOOL, Level.ERROR, f"{tool} is not installed", hint=f"apt install {package}")


def _try(argv: list[str], text: str) -> str:
    """Run and give the last line of its complaint; empty if it worked."""
    env = {**os.environ, "PATH": tool_path()}
    try:
        done = subprocess.run(
            argv, input=text, env=env, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"{argv[0]} ended with {done.returncode}"
