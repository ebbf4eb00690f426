from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from argosy.cli.envoy_tables import endpoint_rows, listener_rows, route_rows, secret_rows, sections_of_dump

MADE = {"filter_metadata": {"argosy": {"kind": "VirtualService", "object": "default/web", "origin": "f.yaml:3"}}}


def address(host: str, port: int) -> dict:
    return {"socket_address": {"address": host, "port_value": port}}


def test_a_dump_gives_what_envoy_uses_now():
    """Listeners have an active state; what warms, drains or failed is not in force."""
    dump = {
        "configs": [
            {
                "@type": "x/envoy.admin.v3.ListenersConfigDump",
                "static_listeners": [{"listener": {"name": "a"}}],
                "dynamic_listeners": [
                    {"name": "b", "active_state": {"listener": {"name": "b"}}, "warming_state": {"listener": {}}},
                    {"name": "c", "warming_state": {"listener": {"name": "c"}}},
                ],
            },
            {"@type": "x/envoy.admin.v3.RoutesConfigDump", "dynamic_route_configs": [{"route_config": {"name": "80"}}]},
            {"@type": "x/envoy.admin.v3.EcdsConfigDump"},
        ]
    }
    found = sections_of_dump(dump)
    assert found["listeners"] == [{"name": "a"}, {"name": "b"}]
    assert found["routes"] == [{"name": "80"}]
    assert found["clusters"] == []


def test_each_filter_chain_is_a_line():
    listener = {
        "address": address("0.0.0.0", 15006),
        "metadata": MADE,
        "filter_chains": [
            {
                "filter_chain_match": {
                    "destination_port": 80,
                    "prefix_ranges": [{"address_prefix": "10.0.0.1", "prefix_len": 32}],
                    "transport_protocol": "tls",
                    "application_protocols": ["a", "b"],
                    "server_names": ["x"],
                },
                "filters": [{"typed_config": {"rds": {"route_config_name": "80"}}}],
            },
            {"filters": [{"typed_config": {"cluster": "inbound|80||"}}]},
            {"filters": [{"typed_config": {"route_config": {"name": "in"}}}]},
        ],
        "default_filter_chain": {
            "filters": [
                {"typed_config": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 9}, {"name": "b"}]}}}
            ]
        },
    }
    made = "VirtualService default/web (f.yaml:3)"
    assert listener_rows([listener]) == [
        ("0.0.0.0:15006", "port 80, to 10.0.0.1/32, SNI x, tls, ALPN a|b", "routes 80", made),
        ("0.0.0.0:15006", "all", "cluster inbound|80||", made),
        ("0.0.0.0:15006", "all", "routes in (inline)", made),
        ("0.0.0.0:15006", "all", "9: a, 0: b", made),
    ]
    assert listener_rows([{"address": {"pipe": {"path": "/x"}}}]) == [("/x", "-", "-", "-")]


def test_each_route_is_a_line():
    routes = [
        {"match": {"prefix": "/a", "headers": [{"name": "end-user"}]}, "route": {"cluster": "c"}, "metadata": MADE},
        {"match": {"safe_regex": {"regex": "x.*"}, "query_parameters": [{"name": "q"}]}, "redirect": {}},
        {"match": {}, "direct_response": {"status": 503}},
    ]
    host = {"name": "web:80", "domains": ["a", "b", "c"], "routes": routes}
    rows = route_rows([{"name": "80", "virtual_hosts": [host]}])
    assert [row[3:] for row in rows] == [
        ("prefix /a, header end-user", "c", "VirtualService default/web (f.yaml:3)"),
        ("regex x.*, ?q", "redirect", "-"),
        ("all", "answer 503", "-"),
    ]
    assert rows[0][:3] == ("80", "web:80", "a, b and 1 more")


def test_endpoints_have_health_and_weight():
    endpoint = {
        "endpoint": {"address": address("10.0.0.1", 80)},
        "load_balancing_weight": 3,
        "health_status": "HEALTHY",
    }
    assignment = {"cluster_name": "c", "endpoints": [{"lb_endpoints": [endpoint, {}]}]}
    assert endpoint_rows([assignment]) == [("10.0.0.1:80", "HEALTHY", "3", "c"), ("-", "UNKNOWN", "1", "c")]


def test_secrets_show_whose_certificate_it_is_and_how_long():
    key = ec.generate_private_key(ec.SECP256R1())
    start = datetime(2030, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 255, start, start + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://td/ns/a/sa/b")]), True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM).decode()
    secrets = [
        {"name": "default", "tls_certificate": {"certificate_chain": {"inline_string": pem}}},
        {"name": "ROOTCA", "validation_context": {"trusted_ca": {"inline_bytes": "AAAA"}}},
        {"name": "odd"},
    ]
    assert secret_rows(secrets) == [
        ("default", "certificate", "spiffe://td/ns/a/sa/b", "ff", "2030-01-02 00:00:00+00:00"),
        ("ROOTCA", "roots", "-", "-", "-"),
        ("odd", "other", "-", "-", "-"),
    ]
