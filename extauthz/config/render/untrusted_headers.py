"""Request headers by which a proxy tells the server behind it who asks, from where, and for what: one list for all
renderings, whose tests send every name.

Nobody but Envoy and the service says such things here, so a client's are removed before any filter. A server, or the
framework that it is made with, believes some of them without being asked to: a name is in the list when some proxy or
platform sets it and some server reads it. What Envoy itself sets or checks is not: `x-forwarded-for`,
`x-forwarded-proto`, `x-forwarded-client-cert` and `x-request-id`.
"""

from typing import Final

UNTRUSTED_PREFIXES: Final = (
    "x-envoy-",  # Envoy's own: timeouts, retries, original paths, `x-envoy-auth-failure-mode-allowed`
    "x-webauth-",  # Grafana's auth proxy
    "x-authenticated-",  # Kong, APISIX, ORY
    "x-consumer-",  # Kong
    "x-remote-",  # Kubernetes' authenticating proxy: user, group, extra; X-Remote-Addr
    "x-amzn-oidc-",  # AWS load balancers
    "x-ms-client-principal",  # Azure App Service
    "x-ms-token-",
    "x-goog-authenticated-user-",  # Google IAP
    "x-goog-iap-",
    "x-pomerium-",
    "x-authentik-",
    "x-vouch-",
    "cf-access-",  # Cloudflare Access
    "tailscale-user-",
    "x-ssl-client-",  # nginx, HAProxy, Traefik: client certificates
    "ssl-client-",
    "x-tls-client-",
    "x-client-cert",
)

_WHO: Final = (
    "remote-user",  # CGI; Authelia
    "remote-groups",
    "remote-name",
    "remote-email",
    "x-user",
    "x-user-id",
    "x-user-name",
    "x-user-email",
    "x-username",
    "x-email",
    "x-groups",
    "x-roles",
    "x-forwarded-user",  # oauth2-proxy
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-credential-identifier",  # Kong
    "x-credential-username",
    "x-anonymous-consumer",
    "x-jwt-assertion",
    "x-jwt-payload",
    "x-userinfo",  # APISIX openid-connect
    "x-access-token",
    "x-id-token",
    "x-client-verify",
    "x-client-dn",
    "x-middleware-subrequest",  # Next.js: skips its own authorization (CVE-2025-29927)
)
_WHENCE: Final = (
    "x-real-ip",  # nginx
    "x-client-ip",
    "client-ip",
    "true-client-ip",  # Akamai, Cloudflare
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "fly-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-originating-ip",
    "x-forwarded",
    "forwarded-for",
    "remote-addr",
    "proxy-client-ip",  # WebLogic
    "wl-proxy-client-ip",
)
_WHAT: Final = (
    "forwarded",  # RFC 7239
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "x-original-method",
    "x-original-uri",
    "x-original-url",  # IIS, Symfony
    "x-rewrite-url",
    "x-override-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-script-name",  # WSGI
    "script-name",
    "proxy",  # CGI takes it for the variable HTTP_PROXY (CVE-2016-5385 and kin)
)

UNTRUSTED_HEADERS: Final = (*_WHO, *_WHENCE, *_WHAT)
