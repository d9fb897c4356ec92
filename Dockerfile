# The image of extauthz: `extauthz serve` on port 9001 (gRPC) and 9002 (admin), as an unprivileged user.
#
#   docker build -t extauthz .                                    # or: podman build, buildah bud --format docker
#   docker build --build-arg BASE=registry.example/python@sha256:… --build-arg VERSION=1.2.3 -t extauthz .
#
# BASE may be any Linux image with glibc, Python >= 3.11 with venv, and pip >= 23; name it by digest for a build that can be
# repeated. Both stages use it, so that the environment finds the interpreter it was made with.
#
# A network with a package mirror or a certificate authority of its own hands them in as secrets, which no layer keeps:
#   --secret id=pip.conf,src=/etc/pip.conf --secret id=ca.crt,src=/etc/ssl/certs/ca-certificates.crt
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY extauthz extauthz
# Two environments: pip and the build backend stay in this stage, what runs is an environment without pip.
# Byte code is checked against nothing and holds no times: the root filesystem is read-only when the service runs, and two
# builds of one source give the same files.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.crt,target=/etc/ssl/certs/ca-certificates.crt \
    export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONHASHSEED=0 \
 && python3 -m pip wheel --quiet --no-deps --wheel-dir /wheel . \
 && python3 -m venv --without-pip /opt/extauthz \
 && python3 -m pip --python /opt/extauthz/bin/python install \
      --quiet --no-compile --only-binary :all: --constraint constraints.txt /wheel/*.whl \
 && /opt/extauthz/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/extauthz/lib

FROM ${BASE}
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="extauthz" \
      org.opencontainers.image.description="Envoy external authorization for MCP servers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/extauthz /opt/extauthz
# Inside a container loopback reaches nobody, so both ports listen on every interface: publish the admin port to operators only.
ENV PATH=/opt/extauthz/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    EXTAUTHZ_POLICY=/etc/extauthz/extauthz.yaml \
    EXTAUTHZ_LISTEN=0.0.0.0:9001 \
    EXTAUTHZ_ADMIN_LISTEN=0.0.0.0:9002
WORKDIR /
# A number, because Kubernetes can only tell that a numeric user is not root (runAsNonRoot).
USER 65532:65532
EXPOSE 9001 9002
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["extauthz", "healthcheck"]
ENTRYPOINT ["extauthz"]
CMD ["serve"]
