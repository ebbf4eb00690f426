"""A pod that mounts a ConfigMap in places of all kinds, and what is seen there: for root and for ordinary users."""

from __future__ import annotations

from tests.e2e.harness import Mesh, wait_for

PLACES = ("/data/deep/er", "/data/other", "/etc/argosy-test/conf", "/opt", "/run/conf", "/tmp/conf")
MANIFEST = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: words}}
data: {{one: first, two: second}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: mounts}}
spec:
  selector: {{matchLabels: {{app: mounts}}}}
  template:
    metadata: {{labels: {{app: mounts}}}}
    spec:
      containers:
      - name: shell
        image: curlimages/curl
        command: [/bin/sleep, infinity]
        volumeMounts: [{", ".join(f"{{name: words, mountPath: {place}}}" for place in PLACES)}]
      volumes: [{{name: words, configMap: {{name: words, items: [{{key: one, path: a/one}}]}}}}]
"""


def check_mounts(mesh: Mesh) -> None:
    """Files are there, nothing of them can be written, the rest of the machine is as before, and changes arrive."""
    mesh.apply(MANIFEST)
    mesh.wait_pods()

    def run(script: str) -> str:
        # As a user runs it: the agent hears nobody but its own user.
        return mesh.exec("mounts", "sh", "-c", f"{{ {script}; }} 2>&1").stdout

    reads = "; ".join(f"cat {place}/a/one; echo; ls {place}" for place in PLACES)
    assert run(reads) == "first\na\n" * len(PLACES)
    writes = " ".join(f"{place}/x" for place in (*PLACES, "/data", "/etc/argosy-test", ""))
    assert run(f"for one in {writes}; do if touch $one 2>/dev/null; then echo $one; fi; done") == ""
    seen = run("head -c4 /etc/passwd; ls -d /bin/sh /usr /proc/1 /dev/null; ls /mnt; cat /etc/hosts")
    assert seen.startswith("root/bin/sh\n/dev/null\n/proc/1\n/usr\n127.0.0.1\tlocalhost\n")
    assert mesh.pods("mounts")[0]["status"]["podIP"] in seen
    mesh.apply(MANIFEST.replace("first", "changed"))
    wait_for(lambda: run("cat /data/deep/er/a/one") == "changed", 60, "the change in the file")
    mesh.delete(MANIFEST)
