"""ID tokens signed with ES256 (RFC 7518 section 3.4), and the key to check them with (RFC 7517)."""

import base64
import hashlib
import json
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

KEY_ID = "practice"


def subject_of(account: str) -> str:
    """Return the stable identifier of an account."""
    return hashlib.sha256(account.encode()).hexdigest()[:32]


def claims_about(account: str) -> dict[str, object]:
    """Return what there is to tell about an account."""
    name = account.partition("@")[0]
    return {
        "sub": subject_of(account),
        "email": account,
        "email_verified": True,
        "preferred_username": account,
        "name": name.replace(".", " ").title(),
    }


class Signer:
    """A key pair, fresh with every start, that signs ID tokens."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def id_token(self, *, issuer: str, client_id: str, account: str, nonce: str, now: datetime) -> str:
        """Return a signed ID token (OpenID Connect Core section 2) that is good for an hour."""
        issued = int(now.timestamp())
        claims = {"iss": issuer, "aud": client_id, "iat": issued, "exp": issued + 3600} | claims_about(account)
        if nonce:
            claims["nonce"] = nonce
        signed = f"{_part({'alg': 'ES256', 'kid': KEY_ID, 'typ': 'JWT'})}.{_part(claims)}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(SHA256())))
        return f"{signed}.{_base64url(r.to_bytes(32) + s.to_bytes(32))}"

    def key_set(self) -> dict[str, object]:
        """Return the public key as a JWK set."""
        point = self._key.public_key().public_numbers()
        x, y = _base64url(point.x.to_bytes(32)), _base64url(point.y.to_bytes(32))
        return {"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID, "x": x, "y": y}]}


def _part(content: dict[str, object]) -> str:
    return _base64url(json.dumps(content).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
