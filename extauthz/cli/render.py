"""`extauthz render`: what the proxy needs, from the policy file."""

import sys
from typing import Any

import click

from extauthz.config.policy_file.policy_file import load_policy
from extauthz.config.render.envoy.bootstrap import Rendered, Unrenderable, render_envoy
from extauthz.config.render.envoy.edge import (
    DEFAULT_ADMIN,
    DEFAULT_AUTHZ,
    DEFAULT_LISTEN,
    DEFAULT_MAX_BODY_BYTES,
    DEFAULT_MAX_STREAM_S,
    DEFAULT_TRUSTED_CA,
    Edge,
    KeyPair,
    ServiceTls,
)
from extauthz.files import write_file
from extauthz.pdp.answer.metadata import metadata_bytes
from extauthz.pdp.policy import Policy
from extauthz.service.endpoint import Endpoint, EndpointFault, TcpEndpoint, endpoint_of

NONE = "none"
"""Of `--admin`: no admin interface."""


def read_endpoint(_ctx: click.Context, _param: click.Parameter, value: str | None) -> TcpEndpoint | None:
    """An option `HOST:PORT`; None when it is absent."""
    if value is None:
        return None
    endpoint = _endpoint(value)
    if not isinstance(endpoint, TcpEndpoint):
        raise click.BadParameter(f"{value!r} is a Unix socket (write HOST:PORT)")
    return endpoint


def read_admin(ctx: click.Context, param: click.Parameter, value: str) -> TcpEndpoint | None:
    """An option `HOST:PORT`; None when it is `none`."""
    return None if value == NONE else read_endpoint(ctx, param, value)


def read_endpoints(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[Endpoint, ...]:
    """A repeated option, `HOST:PORT` or `unix:PATH`."""
    return tuple(map(_endpoint, values))


def _endpoint(value: str) -> Endpoint:
    endpoint = endpoint_of(value)
    if isinstance(endpoint, EndpointFault):
        raise click.BadParameter(f"{endpoint.text} ({endpoint.hint})")
    return endpoint


_POLICY = click.option(
    "--policy",
    "policy_file",
    default="extauthz.yaml",
    envvar="EXTAUTHZ_POLICY",
    show_default=True,
    help="The policy file.",
)
_OUTPUT = click.option(
    "-o",
    "--output",
    default="-",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="Where to write; - is stdout.",
)


@click.group()
def render() -> None:
    """Write the proxy's configuration from the policy file."""


@render.command()
@_POLICY
@click.option(
    "--listen",
    default=str(DEFAULT_LISTEN),
    show_default=True,
    callback=read_endpoint,
    metavar="HOST:PORT",
    help="Where Envoy listens.",
)
@click.option(
    "--admin",
    default=str(DEFAULT_ADMIN),
    show_default=True,
    callback=read_admin,
    metavar="HOST:PORT|none",
    help="Envoy's admin interface (reading only).",
)
@click.option(
    "--authz",
    multiple=True,
    callback=read_endpoints,
    metavar="HOST:PORT|unix:PATH",
    help=f"Where `extauthz serve` listens, once per worker.  [default: {DEFAULT_AUTHZ}]",
)
@click.option("--tracing", callback=read_endpoint, metavar="HOST:PORT", help="Send spans to this OTLP/gRPC collector.")
@click.option(
    "--tls-cert", metavar="FILE", help="Serve HTTPS with this certificate chain (PEM file, as Envoy will find it)."
)
@click.option("--tls-key", metavar="FILE", help="The private key of --tls-cert.")
@click.option(
    "--authz-ca", metavar="FILE", help="Ask the service over TLS, and trust certificates of this authority (PEM file)."
)
@click.option("--authz-cert", metavar="FILE", help="Envoy's own certificate for the service (mutual TLS).")
@click.option("--authz-key", metavar="FILE", help="The private key of --authz-cert.")
@click.option(
    "--upstream-ca",
    metavar="FILE",
    default=DEFAULT_TRUSTED_CA,
    show_default=True,
    help="Certificate authorities for https upstreams (PEM file, as Envoy will find it).",
)
@click.option(
    "--trusted-hops",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Proxies in front of this Envoy whose x-forwarded-for and -proto are believed.",
)
@click.option(
    "--max-request-bytes",
    default=DEFAULT_MAX_BODY_BYTES,
    show_default=True,
    type=int,
    help="Larger request bodies are refused (413).",
)
@click.option(
    "--max-stream-seconds",
    default=DEFAULT_MAX_STREAM_S,
    show_default=True,
    type=int,
    help="Event streams end after this time: so long they may outlive their token.",
)
@_OUTPUT
def envoy(policy_file: str, output: str, **options: Any) -> None:
    """Write a complete Envoy bootstrap (YAML, Envoy 1.40 or newer)."""
    match render_envoy(_policy(policy_file), _edge(options)):
        case Unrenderable(faults=faults):
            raise click.ClickException("\n".join(faults))
        case Rendered(text=text):
            _write(text, output)


@render.command()
@_POLICY
@click.option("--resource", "resource_name", help="Only this resource's document.")
@_OUTPUT
def prm(policy_file: str, resource_name: str | None, output: str) -> None:
    """Write the metadata documents (RFC 9728).

    One per line, as Envoy serves them.
    """
    resources = _policy(policy_file).resources
    if resource_name is not None and resource_name not in resources:
        raise click.UsageError(f"no resource {resource_name!r} in {policy_file} (there is {', '.join(resources)})")
    chosen = resources.values() if resource_name is None else [resources[resource_name]]
    _write("".join(metadata_bytes(resource).decode("ascii") + "\n" for resource in chosen), output)


def _policy(file: str) -> Policy:
    policy = load_policy(file, with_secrets=False)
    if not isinstance(policy, Policy):
        raise click.ClickException(str(policy))
    return policy


def _edge(options: dict[str, Any]) -> Edge:
    certificate = _certificate(options, "tls")
    own = _certificate(options, "authz")
    ca: str | None = options["authz_ca"]
    if own is not None and ca is None:
        raise click.UsageError("--authz-cert needs --authz-ca, the authority of the service's certificate")
    return Edge(
        listen=options["listen"],
        certificate=certificate,
        admin=options["admin"],
        authz=options["authz"] or (DEFAULT_AUTHZ,),
        authz_tls=None if ca is None else ServiceTls(ca=ca, client=own),
        tracing=options["tracing"],
        upstream_ca=options["upstream_ca"],
        trusted_hops=options["trusted_hops"],
        max_body_bytes=options["max_request_bytes"],
        max_stream_s=options["max_stream_seconds"],
    )


def _certificate(options: dict[str, Any], what: str) -> KeyPair | None:
    chain: str | None = options[f"{what}_cert"]
    key: str | None = options[f"{what}_key"]
    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise click.UsageError(f"--{what}-cert and --{what}-key belong together: give both")
    return KeyPair(chain=chain, key=key)


def _write(text: str, output: str) -> None:
    if output == "-":
        sys.stdout.write(text)
        return
    fault = write_file(output, text.encode())
    if fault is not None:
        raise click.ClickException(f"{output} cannot be written: {fault.why}")
