"""Kubernetes' objects: is what they say possible on this platform?

Given typed objects, adds findings to a `Check`; what a manifest asks for and this platform leaves out is a warning.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from string import ascii_letters, digits

from argosy.api.endpoints import SERVICE_LABEL, EndpointPort, Endpoints, EndpointSlice
from argosy.api.kubernetes import (
    Container,
    Deployment,
    EnvVar,
    Job,
    Pod,
    PodSpec,
    Probe,
    Secret,
    Service,
    ServicePort,
    VolumeMount,
)
from argosy.api.mesh_config import PROXY_ANNOTATION, parse_proxy_config
from argosy.api.policy_annotations import CHECK, MODES, RETRIES, RETRIES_MAX, WAIT, WAIT_MAX
from argosy.api.scalars import DurationError, parse_duration_s
from argosy.core.errors import ArgosyError
from argosy.core.labels import selects
from argosy.core.protocols import choose_protocol
from argosy.galley.validate.check import Check, is_label, member
from argosy.galley.validate.mesh_config import validate_default_config

REPLICAS_MAX = 1000
POD_FIELDS = frozenset(
    [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.podIP",
        "status.hostIP",
    ]
)
"""Fields that `valueFrom.fieldRef` may name, beside labels and annotations."""

_ENV = frozenset(ascii_letters + digits + "_.-")


def validate_service(check: Check, service: Service) -> None:
    """All rules about one Service."""
    if not is_label(check.obj.name) and not check.findings:
        check.error("ARG0101", "metadata.name", f"service name {check.obj.name!r} is not a DNS label")
    check.labels("spec.selector", service.selector)
    if service.cluster_ip not in ("", "None"):
        check.address("spec.clusterIP", service.cluster_ip)
    if service.type == "ExternalName":
        _validate_external_name(check, service)
        return
    if service.session_affinity not in ("", "None"):
        hint = "a DestinationRule with consistentHash.useSourceIp does it for clients with a sidecar"
        check.warn("ARG0151", "spec.sessionAffinity", "clients are not kept to one pod", hint)
    if service.external_name:
        check.error("ARG0121", "spec.externalName", f"externalName goes with type ExternalName, not {service.type}")
    if not service.ports and not service.headless:
        check.error("ARG0110", "spec.ports", "at least one port is needed")
    _validate_service_ports(check, service)


def _validate_external_name(check: Check, service: Service) -> None:
    check.host("spec.externalName", service.external_name.removesuffix("."))
    _validate_service_ports(check, service)
    for index, port in enumerate(service.ports):
        protocol, _reason = choose_protocol(port.name, port.app_protocol, port.protocol, port.port)
        if not (protocol.may_be_http or protocol.is_tls):
            message = f"port {port.port} is an alias in DNS only: connections to it pass as unknown traffic"
            hint = "declare a ServiceEntry for the target to have routes and policies"
            check.warn("ARG0151", f"spec.ports[{index}]", message, hint)


def validate_endpoints(check: Check, endpoints: Endpoints) -> None:
    """All rules about the addresses behind a Service."""
    for index, subset in enumerate(endpoints.subsets):
        at = f"subsets[{index}]"
        for kind, addresses in (("addresses", subset.addresses), ("notReadyAddresses", subset.not_ready_addresses)):
            for n, address in enumerate(addresses):
                check.address(f"{at}.{kind}[{n}].ip", address.ip)
        _validate_endpoint_ports(check, f"{at}.ports", subset.ports)


def validate_endpoint_slice(check: Check, piece: EndpointSlice) -> None:
    """All rules about one slice of the addresses behind a Service."""
    if SERVICE_LABEL not in check.obj.labels:
        message = f"label {SERVICE_LABEL} is needed: it names the Service that the addresses are of"
        check.error("ARG0110", "metadata.labels", message)
    if piece.address_type != "IPv4":
        check.error("ARG0011", "addressType", f"{piece.address_type} is not carried by this platform", "write IPv4")
    for index, endpoint in enumerate(piece.endpoints):
        for n, address in enumerate(endpoint.addresses):
            check.address(f"endpoints[{index}].addresses[{n}]", address)
    _validate_endpoint_ports(check, "ports", piece.ports)


def _validate_endpoint_ports(check: Check, at: str, ports: tuple[EndpointPort, ...]) -> None:
    check.unique(at, ((f"[{i}].name", port.name) for i, port in enumerate(ports)), "port name")
    for index, port in enumerate(ports):
        check.port(f"{at}[{index}].port", port.port)


def _validate_service_ports(check: Check, service: Service) -> None:
    check.unique("spec.ports", ((f"[{i}].name", p.name) for i, p in enumerate(service.ports) if p.name), "port name")
    ports = ((f"[{i}].port", (p.port, p.protocol)) for i, p in enumerate(service.ports))
    check.unique("spec.ports", ports, "port")
    for index, port in enumerate(service.ports):
        _validate_service_port(check, f"spec.ports[{index}]", port, several=len(service.ports) > 1)


def _validate_service_port(check: Check, at: str, port: ServicePort, *, several: bool) -> None:
    check.port(f"{at}.port", port.port)
    check.port(f"{at}.nodePort", port.node_port)
    if several and not port.name:
        check.error("ARG0110", at, "a name is needed where a service has several ports")
    if port.name:
        check.dns_label(f"{at}.name", port.name, "port name")
    if port.protocol != "TCP":
        check.warn("ARG0151", f"{at}.protocol", f"{port.protocol} is not carried by the mesh")
    _validate_port_reference(check, f"{at}.targetPort", port.target_port)


def _validate_port_reference(check: Check, at: str, port: int | str | None) -> None:
    if isinstance(port, int):
        check.port(at, port)
    elif port is not None and (not is_label(port) or len(port) > 15 or port.isdecimal()):
        check.error(
            "ARG0105", at, f"{port!r} is neither a port number nor a port's name", "remove the quotes of a number"
        )


def validate_deployment(check: Check, deployment: Deployment) -> None:
    """All rules about one Deployment."""
    check.at_least("spec.replicas", deployment.replicas, 0, REPLICAS_MAX)
    template = deployment.template
    check.labels("spec.template.metadata.labels", template.metadata.labels)
    if deployment.selector.match_expressions:
        message = "matchExpressions is valid Kubernetes, but not supported yet"
        check.error("ARG0011", "spec.selector.matchExpressions", message, "use matchLabels")
    if not selects(deployment.selector.match_labels, template.metadata.labels):
        hint = "spec.template.metadata.labels must hold every label of the selector"
        check.error("ARG0121", "spec.selector.matchLabels", "the selector does not match the template's labels", hint)
    if template.spec.restart_policy != "Always":
        message = f"restartPolicy {template.spec.restart_policy} is for pods that end"
        check.error("ARG0121", "spec.template.spec.restartPolicy", message, "make it a Job, or leave the field out")
    _validate_proxy_config(check, "spec.template.metadata", template.metadata.annotations)
    validate_pod_spec(check, "spec.template.spec", template.spec)


def validate_job(check: Check, job: Job) -> None:
    """All rules about one Job."""
    for name, value in (("completions", job.completions), ("parallelism", job.parallelism)):
        check.at_least(f"spec.{name}", value, 1, REPLICAS_MAX)
    check.at_least("spec.backoffLimit", job.backoff_limit, 0, REPLICAS_MAX)
    check.labels("spec.template.metadata.labels", job.template.metadata.labels)
    if job.template.spec.restart_policy == "Always":
        message = "a Job's pods end: restartPolicy must be Never or OnFailure"
        check.error("ARG0121", "spec.template.spec.restartPolicy", message, "write restartPolicy: Never")
    _validate_proxy_config(check, "spec.template.metadata", job.template.metadata.annotations)
    validate_pod_spec(check, "spec.template.spec", job.template.spec)


def validate_pod(check: Check, pod: Pod) -> None:
    """All rules about one Pod that somebody wishes for."""
    _validate_proxy_config(check, "metadata", check.obj.annotations)
    validate_pod_spec(check, "spec", pod.spec)


def _validate_checks(check: Check, metadata: str, annotations: Mapping[str, str]) -> None:
    """How the pod's proxy asks Mixer."""
    mode, retries = annotations.get(CHECK, MODES[0]), annotations.get(RETRIES, "0")
    if mode not in MODES:
        at = member(f"{metadata}.annotations", CHECK)
        check.error("ARG0014", at, f"{mode!r} is not a possible value", f"one of: {', '.join(MODES)}")
    if not retries.isdecimal() or not retries.isascii() or int(retries) > RETRIES_MAX:
        at = member(f"{metadata}.annotations", RETRIES)
        check.error("ARG0122", at, f"{retries!r} is not a number of retries", f"0 to {RETRIES_MAX}")
    for name in (WAIT, WAIT_MAX):
        try:
            check.duration(member(f"{metadata}.annotations", name), parse_duration_s(annotations.get(name, "1s")))
        except DurationError as error:
            check.error("ARG0016", member(f"{metadata}.annotations", name), str(error), "write 80ms or 1s")


def _validate_proxy_config(check: Check, metadata: str, annotations: Mapping[str, str]) -> None:
    """The annotations with settings of the pod's own proxy."""
    _validate_checks(check, metadata, annotations)
    at = member(f"{metadata}.annotations", PROXY_ANNOTATION)
    try:
        validate_default_config(check, at, parse_proxy_config(annotations.get(PROXY_ANNOTATION, "")))
    except ArgosyError as error:
        for finding in error.findings:
            field = f"{at}.{finding.field}" if finding.field else at
            check.error(finding.code, field, finding.message, finding.hint)


def validate_pod_spec(check: Check, at: str, spec: PodSpec) -> None:
    """All rules about what a pod runs."""
    check.not_empty(f"{at}.containers", spec.containers, "at least one container")
    check.unique(f"{at}.containers", ((f"[{i}].name", c.name) for i, c in enumerate(spec.containers)), "container")
    check.dns_label(f"{at}.serviceAccountName", spec.service_account_name, "service account")
    check.at_least(f"{at}.terminationGracePeriodSeconds", spec.termination_grace_period_seconds, 0, 2**31 - 1)
    for index, container in enumerate(spec.containers):
        _validate_container(check, f"{at}.containers[{index}]", container)
    if spec.init_containers:
        check.warn("ARG0151", f"{at}.initContainers", "init containers are not run by this platform")
    if spec.host_network:
        check.warn("ARG0151", f"{at}.hostNetwork", "a pod has its own network on this platform; it gets no sidecar")
    for index, volume in enumerate(spec.volumes):
        if "configMap" in volume:
            _validate_config_map_volume(check, f"{at}.volumes[{index}].configMap", volume["configMap"])
        elif "emptyDir" not in volume:
            message = "of volumes only ConfigMaps are mounted by this platform"
            check.warn("ARG0151", f"{at}.volumes[{index}]", message)
    names = {str(volume.get("name", "")) for volume in spec.volumes}
    for index, container in enumerate(spec.containers):
        for number, mount in enumerate(container.volume_mounts):
            _validate_mount(check, f"{at}.containers[{index}].volumeMounts[{number}]", mount, names)


def _validate_config_map_volume(check: Check, at: str, source: object) -> None:
    if not isinstance(source, Mapping):
        check.error("ARG0012", at, "must be an object with the name of a ConfigMap")
        return
    check.not_empty(f"{at}.name", source.get("name"), "the name of a ConfigMap")
    items = source.get("items") or ()
    for index, item in enumerate(items if isinstance(items, tuple) else ()):
        path = item.get("path") if isinstance(item, Mapping) else None
        if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
            check.error("ARG0101", f"{at}.items[{index}].path", f"{path!r} is not a path below the volume")


def _validate_mount(check: Check, at: str, mount: VolumeMount, names: set[str]) -> None:
    if mount.name not in names:
        check.error(
            "ARG0121", f"{at}.name", f"the pod has no volume {mount.name!r}", f"volumes: {', '.join(sorted(names))}"
        )
    path = mount.mount_path
    if not path.startswith("/") or path == "/" or ".." in path.split("/") or not path.isprintable():
        check.error(
            "ARG0101", f"{at}.mountPath", f"{path!r} is not the path of a folder", "write it from the root: /etc/app"
        )
    if mount.sub_path:
        check.warn("ARG0151", f"{at}.subPath", "single files of a volume are not mounted by this platform")


def _validate_container(check: Check, at: str, container: Container) -> None:
    check.dns_label(f"{at}.name", container.name, "container")
    check.not_empty(f"{at}.image", container.image, "an image")
    names = ((f"[{i}].name", p.name) for i, p in enumerate(container.ports) if p.name)
    check.unique(f"{at}.ports", names, "port name")
    for index, port in enumerate(container.ports):
        check.port(f"{at}.ports[{index}].containerPort", port.container_port)
    for index, variable in enumerate(container.env):
        _validate_env(check, f"{at}.env[{index}]", variable)
    if container.readiness_probe is not None:
        _validate_probe(check, f"{at}.readinessProbe", container.readiness_probe)


def _validate_probe(check: Check, field: str, probe: Probe) -> None:
    ways = {"httpGet": probe.http_get, "tcpSocket": probe.tcp_socket, "grpc": probe.grpc, "exec": probe.exec}
    check.one_of(field, {name: way is not None for name, way in ways.items()})
    if probe.http_get is not None:
        _validate_port_reference(check, f"{field}.httpGet.port", probe.http_get.port)
        for index, header in enumerate(probe.http_get.http_headers):
            check.header_name(f"{field}.httpGet.httpHeaders[{index}].name", header.name)
            check.printable(f"{field}.httpGet.httpHeaders[{index}].value", header.value)
    if probe.tcp_socket is not None:
        _validate_port_reference(check, f"{field}.tcpSocket.port", probe.tcp_socket.port)
    if probe.grpc is not None:
        check.port(f"{field}.grpc.port", probe.grpc.port)
    if probe.exec is not None:
        check.not_empty(f"{field}.exec.command", probe.exec.command, "a command")
    bounds = {
        "periodSeconds": probe.period_seconds,
        "timeoutSeconds": probe.timeout_seconds,
        "failureThreshold": probe.failure_threshold,
        "successThreshold": probe.success_threshold,
    }
    for name, value in bounds.items():
        check.at_least(f"{field}.{name}", value, 1, 2**31 - 1)


def _validate_env(check: Check, at: str, variable: EnvVar) -> None:
    if not variable.name or not set(variable.name) <= _ENV or variable.name[0].isdecimal():
        check.error("ARG0101", f"{at}.name", f"{variable.name!r} is not the name of an environment variable")
    if variable.value is not None and "\0" in variable.value:
        check.error("ARG0116", f"{at}.value", "control characters are not allowed here")
    source = variable.value_from
    if source is None:
        return
    if variable.value is not None:
        check.error("ARG0109", at, "value and valueFrom exclude each other")
    if source.field_ref is None:
        check.error("ARG0011", f"{at}.valueFrom", "only fieldRef is supported yet", "write the value itself")
        return
    path = source.field_ref.field_path
    if path not in POD_FIELDS and not path.startswith(("metadata.labels['", "metadata.annotations['")):
        hint = f"known: {', '.join(sorted(POD_FIELDS))}"
        check.error("ARG0011", f"{at}.valueFrom.fieldRef.fieldPath", f"field {path!r} is not supported", hint)


def validate_secret(check: Check, secret: Secret) -> None:
    """All rules about one Secret; values are never shown."""
    for key, value in secret.data.items():
        try:
            b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            check.error("ARG0128", member("data", key), "the value is not base64", "use stringData for plain text")
    if secret.type == "kubernetes.io/tls":
        for key in ("tls.crt", "tls.key"):
            if not secret.data.get(key) and not secret.string_data.get(key):
                check.error("ARG0120", "data", f"a secret of type kubernetes.io/tls needs {key}")
