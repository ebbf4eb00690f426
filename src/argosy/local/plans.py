"""From a pod template to a complete `PodPlan`: injection, commands, environment, probes.

Given the template, its namespace's labels, a name and an address; gives the plan, or findings with what must be mended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from argosy.agent.pod import PROXY_CONTAINER, Container, Exclusions, PodPlan, Port, Probe, Role
from argosy.api import kubernetes
from argosy.api.mesh_config import DefaultConfig
from argosy.api.meta import Object
from argosy.api.proxy_config import ProxyConfig
from argosy.core.errors import Finding, Level
from argosy.core.frozen import FrozenMap
from argosy.inject.decide import Decision, Template, should_inject
from argosy.inject.pod import TrafficWishes, parse_traffic_annotations
from argosy.inject.proxy_settings import proxy_settings
from argosy.local.desired import Wish
from argosy.local.images import CatalogueEntry, Command, find_command
from argosy.local.metrics import pod_metrics
from argosy.local.volumes import ConfigMaps, config_map_volumes, missing_volumes

UNKNOWN_PORT = "ARG0604"
_ROLES = {Template.NONE: Role.NONE, Template.SIDECAR: Role.SIDECAR, Template.GATEWAY: Role.ROUTER}
# What a program may assume; everything else comes from the image's stand-in and the manifest.
_NO_DEFAULTS = DefaultConfig()
_NO_CONFIG_MAPS: ConfigMaps = FrozenMap()
_BASE_ENV = {"HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True, slots=True)
class Planner:
    """What all plans of a node share."""

    node: str
    catalogue: Sequence[CatalogueEntry] = ()

    def decide(self, wish: Wish, namespace_labels: Mapping[str, str] | None) -> Decision:
        """Whether the pods of this wish get an Envoy."""
        template = wish.template
        return should_inject(
            namespace=wish.key.namespace,
            namespace_labels=namespace_labels,
            labels=template.metadata.labels,
            annotations=template.metadata.annotations,
            host_network=template.spec.host_network,
        )

    def captures_all(self, wish: Wish, namespace_labels: Mapping[str, str] | None) -> bool:
        """Whether a sidecar takes all that comes to the pods of this wish, on whatever port."""
        traffic, _findings = parse_traffic_annotations(wish.template.metadata.annotations)
        whole = traffic.include_inbound == ("*",) and not traffic.exclude_inbound
        return whole and self.decide(wish, namespace_labels).template is Template.SIDECAR

    def plan(
        self,
        wish: Wish,
        *,
        name: str,
        ip: str,
        namespace_labels: Mapping[str, str] | None,
        proxy_configs: Sequence[Object[ProxyConfig]] = (),
        defaults: DefaultConfig = _NO_DEFAULTS,
        config_maps: ConfigMaps = _NO_CONFIG_MAPS,
        merge_metrics: bool = True,
    ) -> PodPlan | tuple[Finding, ...]:
        """The whole plan of one pod, or all findings of its template."""
        meta, spec = wish.template.metadata, wish.template.spec
        decision = self.decide(wish, namespace_labels)
        traffic, findings = parse_traffic_annotations(meta.annotations)
        containers: list[Container] = []
        problems = list(findings)
        proxy = proxy_settings(
            namespace=wish.key.namespace,
            labels=meta.labels,
            annotations=meta.annotations,
            configs=proxy_configs,
            defaults=defaults,
        )
        if isinstance(proxy, Finding):
            problems.append(proxy)
        fields = _Fields(wish, name, ip, self.node)
        for container in _programs(spec, decision):
            made = self._container(container, fields)
            if isinstance(made, Finding):
                problems.append(made)
            else:
                containers.append(made)
        environment = {} if isinstance(proxy, Finding) else dict(proxy.environment)
        metrics, refused = pod_metrics(spec, meta.annotations, environment, merge=merge_metrics)
        problems += refused
        volumes = config_map_volumes(spec)
        problems += missing_volumes(volumes, wish.key.namespace, config_maps)
        if problems or isinstance(proxy, Finding):
            return tuple(_about(finding, wish) for finding in problems)
        return PodPlan(
            namespace=wish.key.namespace,
            name=name,
            ip=ip,
            role=_ROLES[decision.template],
            service_account=spec.service_account_name,
            owner="" if wish.bare else wish.key.name,
            owner_kind=wish.kind,
            restart=spec.restart_policy,
            template_hash=wish.template_hash,
            labels=tuple(meta.labels.items()),
            annotations=tuple(meta.annotations.items()),
            containers=tuple(containers),
            exclusions=_exclusions(traffic),
            grace_s=float(spec.termination_grace_period_seconds),
            concurrency=proxy.concurrency,
            proxy_environment=proxy.environment,
            proxy_stats=proxy.stats,
            volumes=volumes,
            metrics=metrics,
        )

    def _container(self, container: kubernetes.Container, fields: _Fields) -> Container | Finding:
        command = find_command(container, fields.wish.template.metadata.annotations, self.catalogue)
        if isinstance(command, Finding):
            return command
        probe = _probe(container)
        if isinstance(probe, Finding):
            return probe
        return Container(
            name=container.name,
            image=container.image,
            argv=command.argv,
            env=_environment(command, container, fields),
            ports=tuple(Port(p.container_port, p.name, p.protocol) for p in container.ports),
            probe=probe,
        )


@dataclass(frozen=True, slots=True)
class _Fields:
    """What environment variables can take from the pod itself (Kubernetes' downward API)."""

    wish: Wish
    name: str
    ip: str
    node: str

    def value(self, path: str) -> str:
        known = {
            "metadata.name": self.name,
            "metadata.namespace": self.wish.key.namespace,
            "status.podIP": self.ip,
            "status.hostIP": self.node,
            "spec.nodeName": self.node,
            "spec.serviceAccountName": self.wish.template.spec.service_account_name,
        }
        if path in known:
            return known[path]
        kind, _, rest = path.partition("['")
        meta = self.wish.template.metadata
        source = {"metadata.labels": meta.labels, "metadata.annotations": meta.annotations}.get(kind)
        return source.get(rest.removesuffix("']"), "") if source else ""


def _programs(spec: kubernetes.PodSpec, decision: Decision) -> Sequence[kubernetes.Container]:
    """The containers that are programs here: a gateway's only container is Envoy itself."""
    if decision.template is Template.GATEWAY:
        return [c for c in spec.containers if c.name != PROXY_CONTAINER]
    return spec.containers


def _environment(command: Command, container: kubernetes.Container, fields: _Fields) -> tuple[tuple[str, str], ...]:
    env = {**_BASE_ENV, **command.env}
    for variable in container.env:
        if variable.value is not None:
            env[variable.name] = _expand(variable.value, env)
        elif variable.value_from and variable.value_from.field_ref:
            env[variable.name] = fields.value(variable.value_from.field_ref.field_path)
    return tuple(sorted(env.items()))


def _expand(value: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` stands for a variable defined before."""
    for name, text in env.items():
        value = value.replace(f"$({name})", text)
    return value


def _probe(container: kubernetes.Container) -> Probe | Finding | None:
    probe = container.readiness_probe
    if probe is None:
        return None
    target = probe.http_get or probe.tcp_socket or probe.grpc
    named = target.port if target is not None else 0
    port = named if isinstance(named, int) else _named_port(container, named)
    if port is None:
        message = f"the readiness probe of {container.name!r} names port {named!r}, which the container has not"
        return Finding(UNKNOWN_PORT, Level.ERROR, message, field="spec.template.spec.containers")
    page = probe.http_get
    return Probe(
        port=port,
        path=page.path if page else "",
        headers=tuple((one.name, one.value) for one in page.http_headers) if page else (),
        tls=page is not None and page.scheme == "HTTPS",
        grpc=probe.grpc.service if probe.grpc else None,
        command=probe.exec.command if probe.exec else (),
        period_s=float(max(probe.period_seconds, 1)),
        timeout_s=float(max(probe.timeout_seconds, 1)),
        initial_delay_s=float(probe.initial_delay_seconds),
        failures_max=max(probe.failure_threshold, 1),
        successes_min=max(probe.success_threshold, 1),
    )


def _named_port(container: kubernetes.Container, name: str) -> int | None:
    return next((port.container_port for port in container.ports if port.name == name), None)


def _exclusions(wishes: TrafficWishes) -> Exclusions:
    return Exclusions(
        include_inbound=wishes.include_inbound,
        exclude_inbound=wishes.exclude_inbound,
        include_outbound=wishes.include_outbound,
        exclude_outbound=wishes.exclude_outbound,
        include_ranges=wishes.include_ranges,
        exclude_ranges=wishes.exclude_ranges,
    )


def _about(finding: Finding, wish: Wish) -> Finding:
    return replace(finding, kind=wish.kind, namespace=wish.key.namespace, name=wish.key.name)
