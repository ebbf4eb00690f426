"""A pod's token in a thief's hands: asks Citadel for certificates of others, and counts the answers. Run in the node.

    python csr_thief.py '{"citadel": "10.88.0.1:15013", "roots": PEM, "token": TEXT, "tries": 20}'

Prints a line of JSON: by variant how many calls ended with which status.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

import grpc
import grpc.aio
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from argosy.edge.citadel_server import ISSUE_METHOD, IssueRequest
from argosy.edge.tls import token_channel

VICTIM = "spiffe://cluster.local/ns/istio-system/sa/pilot"
URI, DNS = x509.UniformResourceIdentifier, x509.DNSName
KEY = ec.generate_private_key(ec.SECP256R1())


def _csr(*names: x509.GeneralName, common_name: str = "", ca: bool = False, key: Any = KEY) -> str:
    subject = [x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _broken() -> str:
    request = x509.load_pem_x509_csr(_csr().encode())
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()


def variants() -> dict[str, IssueRequest]:
    """C02: twelve ways to ask for what one is not."""
    own = "spiffe://cluster.local/ns/default/sa/sleep"
    return {
        "uri": IssueRequest(_csr(URI(VICTIM))),
        "own and another uri": IssueRequest(_csr(URI(own), URI(VICTIM))),
        "another domain": IssueRequest(_csr(URI("spiffe://other/ns/default/sa/sleep"))),
        "server name": IssueRequest(_csr(DNS("pilot.istio-system.svc"))),
        "wildcard": IssueRequest(_csr(DNS("*"))),
        "email": IssueRequest(_csr(x509.RFC822Name("root@cluster.local"))),
        "common name": IssueRequest(_csr(common_name=VICTIM)),
        "authority": IssueRequest(_csr(ca=True)),
        "broken signature": IssueRequest(_broken()),
        "weak key": IssueRequest(_csr(key=rsa.generate_private_key(65537, 1024))),
        "a hundred years": IssueRequest(_csr(), 100 * 365 * 86_400),
        "huge": IssueRequest("x" * 1_000_000),
    }


async def main(options: dict[str, Any]) -> None:
    """Ask, and print what came of it."""
    outcomes: dict[str, Counter[str]] = {}
    async with token_channel(options["citadel"], "citadel.istio-system.svc", options["roots"].encode()) as one:
        call = one.unary_unary(ISSUE_METHOD)
        for name, request in variants().items():
            found = outcomes.setdefault(name, Counter())
            for _ in range(options["tries"]):
                try:
                    await call(
                        msgspec.json.encode(request),
                        metadata=(("authorization", f"Bearer {options['token']}"),),
                        timeout=60,
                    )
                    found["issued"] += 1
                except grpc.aio.AioRpcError as error:
                    found[error.code().name] += 1
    print(json.dumps(outcomes))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
