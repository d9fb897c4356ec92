"""Record the tokens of a real Keycloak: `python record.py FOLDER_OF_KEYCLOAK` writes tokens.json and jwks.json here.

Starts Keycloak in development mode on loopback (a JDK of 17 or later in JAVA_HOME), makes the realm of realm.json,
gives every client an audience and a groups mapper and the scope `mcp:read`, asks for tokens, and stops it again. Takes
two minutes. Everything in it is made for these tests; nothing is secret.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

HERE = Path(__file__).parent
PORT = 18080
BASE = f"http://127.0.0.1:{PORT}"
HOSTNAME = "https://sso.keycloak.test"
AUDIENCE = "https://mcp.acme.test/mcp"
START_LIMIT_S = 240


def wait_until_up(client: httpx.Client) -> None:
    for _ in range(START_LIMIT_S):
        try:
            if client.get("/realms/master").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise SystemExit(f"Keycloak did not answer within {START_LIMIT_S} s")


def make_realm(client: httpx.Client) -> None:
    answer = client.post(
        "/realms/master/protocol/openid-connect/token",
        data={"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": "admin"},
    )
    admin = {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}
    realm = json.loads((HERE / "realm.json").read_text())
    client.post("/admin/realms", json=realm, headers=admin).raise_for_status()
    at = "/admin/realms/acme"
    client.post(
        f"{at}/client-scopes", json={"name": "mcp:read", "protocol": "openid-connect"}, headers=admin
    ).raise_for_status()
    scopes = {scope["name"]: scope["id"] for scope in client.get(f"{at}/client-scopes", headers=admin).json()}
    wanted = {entry["clientId"] for entry in realm["clients"]}
    for entry in client.get(f"{at}/clients", headers=admin).json():
        if entry["clientId"] not in wanted:
            continue
        one = f"{at}/clients/{entry['id']}"
        client.put(f"{one}/optional-client-scopes/{scopes['mcp:read']}", headers=admin).raise_for_status()
        mappers = [
            ("audience", "oidc-audience-mapper", {"included.custom.audience": AUDIENCE}),
            ("groups", "oidc-group-membership-mapper", {"claim.name": "groups", "full.path": "true"}),
        ]
        for name, mapper, config in mappers:
            body = {
                "name": name,
                "protocol": "openid-connect",
                "protocolMapper": mapper,
                "config": config | {"access.token.claim": "true"},
            }
            client.post(f"{one}/protocol-mappers/models", json=body, headers=admin).raise_for_status()


def dpop_proof() -> str:
    key = generate_private_key(SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    body = {
        "htm": "POST",
        "htu": f"{BASE}/realms/acme/protocol/openid-connect/token",
        "iat": int(time.time()),
        "jti": f"proof-{time.time_ns()}",
    }
    return jwt.encode(body, key, algorithm="ES256", headers={"typ": "dpop+jwt", "jwk": public})


def ask(client: httpx.Client, name: str, scope: str = "openid mcp:read", **form: str) -> list[dict[str, Any]]:
    headers = {"DPoP": dpop_proof()} if name == "claude-dpop" else {}
    password = {"grant_type": "password", "username": "alice", "password": "pw-alice"}
    answer = client.post(
        "/realms/acme/protocol/openid-connect/token",
        data={"client_id": name, "scope": scope, **(form or password)},
        headers=headers,
    )
    body = answer.raise_for_status().json()
    kinds = {"access_token": "access", "id_token": "id", "refresh_token": "refresh"}
    return [
        {"client": name, "asked": scope, "kind": kind, "token_type": body["token_type"], "token": body[member]}
        for member, kind in kinds.items()
        if member in body
    ]


def record(client: httpx.Client) -> None:
    tokens = [
        *ask(client, "claude-desktop"),
        *ask(client, "claude-desktop", "openid mcp:read organization:acme"),
        *ask(client, "claude-desktop", "openid mcp:read organization:*"),
        *ask(client, "claude-desktop", "openid offline_access"),
        *ask(client, "claude-at-jwt"),
        *ask(client, "claude-es256"),
        *ask(client, "claude-ps256"),
        *ask(client, "claude-light"),
        *ask(client, "claude-dpop"),
        *ask(client, "ops-bot", "mcp:read", grant_type="client_credentials", client_secret="TESTONLY-ops-bot"),
    ]
    for token in tokens:
        token["header"] = jwt.get_unverified_header(token["token"])
        token["claims"] = jwt.decode(token["token"], options={"verify_signature": False})
    version = client.get("/realms/acme/.well-known/openid-configuration").raise_for_status().json()
    keys = client.get("/realms/acme/protocol/openid-connect/certs").raise_for_status()
    recorded = {"issuer": version["issuer"], "audience": AUDIENCE, "clock": int(time.time()), "tokens": tokens}
    (HERE / "tokens.json").write_text(json.dumps(recorded, indent=1) + "\n")
    (HERE / "jwks.json").write_bytes(keys.content)


def main(folder: Path) -> None:
    command = [
        str(folder / "bin" / "kc.sh"),
        "start-dev",
        "--http-host=127.0.0.1",
        f"--http-port={PORT}",
        f"--hostname={HOSTNAME}",
        "--features=dpop",
        "--bootstrap-admin-username=admin",
        "--bootstrap-admin-password=admin",
    ]
    server = subprocess.Popen(command)
    try:
        with httpx.Client(base_url=BASE, timeout=60, trust_env=False) as client:
            wait_until_up(client)
            make_realm(client)
            record(client)
    finally:
        server.terminate()
        server.wait(timeout=60)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
