import pytest
from tests.unit.local.objects import objects, wish

from argosy.agent.pod import PodPlan, Volume
from argosy.local.plans import Planner
from argosy.local.volumes import config_map_volumes, volume_files

TEXT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  template:
    spec:
      containers:
      - {name: a, image: curl, volumeMounts: [{name: v, mountPath: /etc/a}, {name: w, mountPath: /etc/w}]}
      - {name: b, image: curl, volumeMounts: [{name: v, mountPath: /etc/a}, {name: v, mountPath: /x, subPath: y}]}
      volumes: [{name: v, configMap: SOURCE}, {name: w, emptyDir: {}}]
"""
MAPS = {
    one.key: one
    for one in objects(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: m, namespace: shop}, data: {k: '1', l: '2'}}"
    )
}


@pytest.mark.parametrize(
    "source, volume, files",
    [
        ("{name: m}", Volume("/etc/a", "m"), {"k": "1", "l": "2"}),
        ("{name: m, items: [{key: l, path: d/l}]}", Volume("/etc/a", "m", (("l", "d/l"),)), {"d/l": "2"}),
        ("{name: m, items: [{key: x, path: x}]}", Volume("/etc/a", "m", (("x", "x"),)), None),
        ("{name: n}", Volume("/etc/a", "n"), None),
        ("{name: n, optional: true}", Volume("/etc/a", "n", optional=True), {}),
        (
            "{name: m, optional: true, items: [{key: x, path: x}]}",
            Volume("/etc/a", "m", (("x", "x"),), optional=True),
            {},
        ),
    ],
)
def test_what_is_mounted_and_what_is_in_it(source, volume, files):
    wished = wish(TEXT.replace("SOURCE", source))
    assert config_map_volumes(wished.template.spec) == (volume,)
    assert volume_files(volume, "shop", MAPS) == files
    made = Planner("node-1").plan(wished, name="cart-1", ip="i", namespace_labels=None, config_maps=MAPS)
    if files is not None:
        assert isinstance(made, PodPlan)
        assert made.volumes == (volume,)
    else:
        assert [(one.code, one.name) for one in made] == [("ARG0605", "cart")]
