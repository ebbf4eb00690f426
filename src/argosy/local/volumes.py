"""ConfigMaps as files in a pod: which are mounted where, and what is in them.

Given a pod's specification, gives its mounts or a finding; given a mount and the ConfigMaps, gives files. Other
kinds of volumes are not mounted by this platform (validation says so). Source: Kubernetes' volumes, `configMap`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from argosy.agent.pod import Volume
from argosy.api.kubernetes import ConfigMap, PodSpec
from argosy.api.meta import Object
from argosy.core.errors import Finding, Level
from argosy.core.names import ObjectKey

MISSING = "ARG0605"
ConfigMaps = Mapping[ObjectKey, Object[ConfigMap]]


def config_map_volumes(spec: PodSpec) -> tuple[Volume, ...]:
    """The ConfigMaps that a pod's containers mount. Containers share one view of the files, so a place counts once."""
    sources = {str(volume.get("name", "")): volume["configMap"] for volume in spec.volumes if "configMap" in volume}
    found: dict[str, Volume] = {}
    for container in spec.containers:
        for mount in container.volume_mounts:
            source = sources.get(mount.name)
            if source is not None and not mount.sub_path:
                found.setdefault(mount.mount_path, _volume(mount.mount_path, source))
    return tuple(found.values())


def _volume(path: str, source: Mapping[str, Any]) -> Volume:
    items = source.get("items") or ()
    return Volume(
        path=path,
        config_map=str(source.get("name", "")),
        items=tuple((str(one.get("key", "")), str(one.get("path", ""))) for one in items),
        optional=bool(source.get("optional", False)),
    )


def volume_files(volume: Volume, namespace: str, config_maps: ConfigMaps) -> dict[str, str] | None:
    """Path below the mount -> text; None while the ConfigMap, or a key that is asked for, does not exist."""
    found = config_maps.get(ObjectKey(namespace, volume.config_map))
    if found is None:
        return {} if volume.optional else None
    data = found.spec.data
    if not volume.items:
        return dict(data)
    if not volume.optional and any(key not in data for key, _ in volume.items):
        return None
    return {path: data[key] for key, path in volume.items if key in data}


def missing_volumes(volumes: tuple[Volume, ...], namespace: str, config_maps: ConfigMaps) -> Iterator[Finding]:
    """A finding for each mount that has nothing to show yet: the pod waits for it."""
    for volume in volumes:
        if volume_files(volume, namespace, config_maps) is None:
            keys = ", ".join(key for key, _ in volume.items)
            what = f" with {keys}" if keys else ""
            message = f"the ConfigMap {namespace}/{volume.config_map}{what}, mounted at {volume.path}, does not exist"
            hint = "apply it: the pod starts then; or make the volume optional"
            yield Finding(MISSING, Level.ERROR, message, field="spec.template.spec.volumes", hint=hint)
