"""Keys and tokens for tests, good ones and forged ones. Keys are made anew for each run."""

from __future__ import annotations

import base64
import json
import random
import time
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


@dataclass(frozen=True)
class Key:
    """A signing key and the name under which its issuer publishes it."""

    private: Any
    kid: str
    algorithm: str

    def jwk(self) -> dict[str, Any]:
        """The public key as issuers publish it."""
        kind = jwt.algorithms.RSAAlgorithm if self.algorithm.startswith("RS") else jwt.algorithms.ECAlgorithm
        return {**json.loads(kind.to_jwk(self.private.public_key())), "kid": self.kid, "use": "sig"}

    def sign(self, kid: str | None = None, **claims: Any) -> str:
        """A token that is valid for ten minutes, unless claims say otherwise; claims of None are left out."""
        now = int(time.time())
        payload = {"iat": now, "exp": now + 600, "sub": "alice", **claims}
        headers = {"kid": self.kid if kid is None else kid}
        kept = {name: value for name, value in payload.items() if value is not None}
        # PyJWT would refuse to sign claims of the wrong kind.
        return jwt.PyJWS().encode(
            json.dumps(kept).encode(), self.private, self.algorithm, headers if headers["kid"] else None
        )

    def public_pem(self) -> bytes:
        """The public key, as somebody who forges would use it for a shared secret."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return bytes(self.private.public_key().public_bytes(serialization.Encoding.PEM, form))


def rsa_key(kid: str) -> Key:
    """An RSA key."""
    return Key(rsa.generate_private_key(public_exponent=65537, key_size=2048), kid, "RS256")


def ec_key(kid: str) -> Key:
    """A P-256 key."""
    return Key(ec.generate_private_key(ec.SECP256R1()), kid, "ES256")


def jwks(*keys: Key) -> str:
    """What an issuer publishes."""
    return json.dumps({"keys": [key.jwk() for key in keys]})


def part(value: Any) -> str:
    """A part of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unpart(text: str) -> bytes:
    """What a part holds."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def unsigned(claims: dict[str, Any]) -> str:
    """A token of the algorithm `none`."""
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def hmac_signed(secret: bytes, kid: str, claims: dict[str, Any]) -> str:
    """A token signed with a shared secret (PyJWT refuses to use a public key as one)."""
    text = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{part(claims)}"
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(text.encode())
    return f"{text}.{part(mac.finalize())}"


def with_header(token: str, **changes: Any) -> str:
    """The token with another header, its signature as it was."""
    header, payload, signature = token.split(".")
    return f"{part({**json.loads(unpart(header)), **changes})}.{payload}.{signature}"


def mutations(token: str, seed: int, count: int) -> list[str]:
    """So many broken variants of a good token, no two alike, none of which says the same as the token."""
    chance = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < count:
        found = _mutated(token, chance)
        # What no header can carry would not come as far as the filter.
        if found.isprintable() and found.isascii() and found.strip() and not _same(found, token):
            made[found] = None
    return list(made)


def _mutated(token: str, chance: random.Random) -> str:
    parts = token.split(".")
    at = chance.randrange(3)
    way = chance.randrange(8)
    if way == 0:
        data = bytearray(unpart(parts[at]))
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        parts[at] = part(bytes(data))
    elif way == 1:
        parts[at] = parts[at][: chance.randrange(len(parts[at]))]
    elif way == 2:
        place = chance.randrange(len(parts[at]))
        parts[at] = parts[at][:place] + chance.choice('ABCabc012-_+/=~!{}" ,;%') + parts[at][place + 1 :]
    elif way == 3:
        place = chance.randrange(len(parts[at]) + 1)
        parts[at] = parts[at][:place] + parts[at][place : place + 30] * chance.randrange(1, 4) + parts[at][place:]
    elif way == 4:
        parts.insert(at, parts[chance.randrange(3)])
    elif way == 5:
        header = json.loads(unpart(parts[0]))
        name = chance.choice(["alg", "kid", "typ", "jwk", "jku", "x5u", "crit"])
        value = chance.choice(["none", "HS256", "ES256", "RS512", "../../x", "", None, 1, [], {"a": []}, "A" * 300])
        parts[0] = part({**header, name: value, "n": chance.random()})
    elif way == 6:
        payload = json.loads(unpart(parts[1]))
        name = chance.choice(["iss", "exp", "nbf", "aud", "sub", "iat"])
        value = chance.choice([0, -1, 1e308, "x", None, [], {}, [[]], True, 2**63, "9" * 40])
        parts[1] = part({**payload, name: value, "n": chance.random()})
    else:
        parts[at] = part(chance.randbytes(chance.randrange(1, 200)))
    return ".".join(parts)


def _same(found: str, token: str) -> bool:
    """Whether two texts are the same token: the last bits of a part may not count."""
    try:
        return [unpart(one) for one in found.split(".")] == [unpart(one) for one in token.split(".")]
    except ValueError:
        return False
