"""A real server of OpenID Connect, with keys that the tests know, so that they can also sign what it never would."""

import base64
import contextlib
import hashlib
import hmac
import json
import subprocess
import time
from pathlib import Path

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from support import ports, required

AUDIENCE = "urn:mlflow"
SECRET = "the secret of the client"


class SigningKey:
    """A key of a provider."""

    def __init__(self, kid: str):
        self.kid = kid
        self.private = rsa.generate_private_key(65537, 2048)

    @property
    def jwk(self) -> dict:
        """It as the provider wants it."""
        numbers = self.private.private_numbers()
        public = numbers.public_numbers
        named = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
        named |= {"n": public.n, "e": public.e}
        encoded = {name: _encode(value.to_bytes((value.bit_length() + 7) // 8)) for name, value in named.items()}
        return encoded | {"kty": "RSA", "kid": self.kid, "use": "sig", "alg": "RS256"}

    @property
    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, claims: dict, **header) -> str:
        """A token with the claims, signed by this key."""
        return _token(claims, {"alg": "RS256", "kid": self.kid} | header, self._rs256)

    def _rs256(self, text: bytes) -> bytes:
        return self.private.sign(text, padding.PKCS1v15(), hashes.SHA256())


def unsigned(claims: dict, **header) -> str:
    """A token that nobody signed."""
    return _token(claims, {"alg": "none"} | header, lambda _: b"")


def signed_with_secret(claims: dict, secret: bytes, **header) -> str:
    """A token signed with a secret: for who takes a public key for one, anybody can make it."""
    return _token(claims, {"alg": "HS256"} | header, lambda text: hmac.digest(secret, text, hashlib.sha256))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _token(claims: dict, header: dict, sign) -> str:
    parts = ".".join(_encode(json.dumps(part).encode()) for part in ({"typ": "JWT"} | header, claims))
    return f"{parts}.{_encode(sign(parts.encode()))}"


class Provider:
    """A running provider."""

    def __init__(self, process: subprocess.Popen, issuer: str):
        self._process = process
        self.issuer = issuer
        self.key = SigningKey("first")
        self.accounts: dict[str, dict] = {}
        self.clients: list[dict] = []

    def update(self) -> None:
        """Has it go on with the keys, accounts and clients that are set."""
        clients = [
            {
                "client_id": client["client_id"],
                "client_secret": SECRET,
                "redirect_uris": client.get("redirect_uris", []),
                "post_logout_redirect_uris": client.get("post_logout_redirect_uris", []),
                "response_types": ["code"] if client.get("redirect_uris") else [],
                "grant_types": ["authorization_code"] if client.get("redirect_uris") else ["client_credentials"],
            }
            for client in self.clients
        ]
        settings = {"jwks": {"keys": [self.key.jwk]}, "accounts": self.accounts, "clients": clients}
        self._process.stdin.write(json.dumps(settings) + "\n")
        self._process.stdin.flush()
        while (line := self._process.stdout.readline()) != "ready\n":
            assert line, "the provider has ended: start it by hand to see why"

    def token(self, client: str) -> str:
        """A token of access for a client, which is an account of its own."""
        form = {"grant_type": "client_credentials", "resource": AUDIENCE, "scope": "api"}
        answer = requests.post(f"{self.issuer}/token", data=form, auth=(client, SECRET), timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def request_count(self, path: str) -> int:
        """How often something was fetched."""
        return requests.get(f"{self.issuer}/asked", timeout=30).json().get(path, 0)

    def claims(self, name: str, **more) -> dict:
        """The claims of a good token, or of one with something wrong in it; what is None is left out."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": name, "preferred_username": name}
        claims |= {"iat": now, "exp": now + 600} | more
        return {key: value for key, value in claims.items() if value is not None}


@contextlib.contextmanager
def provider():
    """A provider that knows nobody yet."""
    port = ports.free_port()
    command = ["node", str(Path(__file__).with_name("oidc_provider.mjs")), str(port)]
    required("FERROFLOW_OIDC_PROVIDER")
    process = subprocess.Popen(
        # It tells at length that it is for tests.
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield Provider(process, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait(30)
