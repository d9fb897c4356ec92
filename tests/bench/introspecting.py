"""An issuer that finds every token active, in a process of its own: `python -m tests.bench.introspecting PORT`.

What introspection costs at the least: keep-alive, loopback, no look-up behind it.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from extauthz.demo.processes import LOOPBACK

ANSWER: Final = json.dumps({"active": True}).encode()


class Active(BaseHTTPRequestHandler):
    """Says yes."""

    protocol_version = "HTTP/1.1"
    # Else the answer's body waits for the acknowledgement of its head.
    wbufsize = 4096

    def do_POST(self) -> None:
        """RFC 7662 §2.2."""
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Silent."""


if __name__ == "__main__":
    ThreadingHTTPServer((LOOPBACK, int(sys.argv[1])), Active).serve_forever()
