"""A demo issuer that speaks what Casdoor speaks. NOT FOR PRODUCTION: anyone who reaches it can be anyone.

It listens on loopback only, keeps everything in memory, makes its keys at start, and signs people in by letting them
pick a name. Paths, documents, token shape and error answers follow Casdoor v3.158 as recorded; left out are users'
passwords, the device, password and exchange grants, and every part of Casdoor that no MCP client touches. Two of its
weaknesses are left out as well: a refresh cannot widen the scope, and PKCE (S256) is required.

    with DemoIssuer() as issuer:            in a thread of this process, for tests and `extauthz demo`
        issuer.url, issuer.jwks_uri
    python -m extauthz.demo.issuer          by itself
"""

from extauthz.demo.issuer.certificates import Certificate
from extauthz.demo.issuer.key_sets import JwksAnswer
from extauthz.demo.issuer.realm import Application, Realm, User, demo_realm
from extauthz.demo.issuer.server import DemoIssuer

__all__ = ["Application", "Certificate", "DemoIssuer", "JwksAnswer", "Realm", "User", "demo_realm"]
