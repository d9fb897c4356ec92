"""The same gRPC server as the service's, with an answer that is always the same bytes: what is not ours to spend."""

import signal
import sys

from extauthz.adapters.grpc.server import GrpcServer
from extauthz.adapters.grpc.threads import CheckThreads
from extauthz.service.check.codec import encode_undecided


def main() -> None:
    """Serve until SIGTERM at the address given."""
    answer = encode_undecided("0123456789abcdef")
    server = GrpcServer(lambda *_: answer, listen=sys.argv[1], refusal=answer, threads=CheckThreads())
    server.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.stop(finish_s=1)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
