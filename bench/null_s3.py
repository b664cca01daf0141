"""An S3 on loopback that throws away what it is sent and makes up what it is asked for, in next to no time or memory.

As a server for a measurement: an emulator that keeps objects in memory cannot be sent 5 GB, and would itself be what
is measured. `python -m bench.null_s3` prints its URL. An object has as many zero bytes as its key ends with:
`/bucket/zeros-5368709120`. It checks neither signatures nor checksums.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_CHUNK = 1024 * 1024
_ZEROS = bytes(_CHUNK)
_ETAG = '"00000000000000000000000000000000"'


class Handler(BaseHTTPRequestHandler):
    """As much of S3 as an upload, in one request or in parts, and a download, whole or of a range."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_PUT(self) -> None:
        """PutObject and UploadPart."""
        self._discard()
        self._answer(200)

    def do_POST(self) -> None:
        """CreateMultipartUpload and CompleteMultipartUpload."""
        self._discard()
        kind = "Initiate" if self.path.endswith("?uploads") else "Complete"
        self._answer(200, f"<{kind}MultipartUploadResult><UploadId>1</UploadId></{kind}MultipartUploadResult>".encode())

    def do_DELETE(self) -> None:
        """AbortMultipartUpload."""
        self._answer(204)

    def do_GET(self) -> None:
        """GetObject."""
        size = int(re.findall(r"\d+", self.path.partition("?")[0])[-1])
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        last = min(int(wanted[2] or size), size - 1) if wanted else size - 1
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self._head(last + 1 - first)
        for left in range(last + 1 - first, 0, -_CHUNK):
            self.wfile.write(_ZEROS[:left])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""

    def _discard(self) -> None:
        left = int(self.headers.get("Content-Length", 0))
        with memoryview(bytearray(min(left, _CHUNK))) as bin_:
            while left > 0:
                left -= self.rfile.readinto(bin_[:left])

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self._head(len(body))
        self.wfile.write(body)

    def _head(self, length: int) -> None:
        self.send_header("ETag", _ETAG)
        self.send_header("Content-Length", str(length))
        self.end_headers()


@contextmanager
def running(module: str = "bench.null_s3") -> Iterator[str]:
    """Start `module` in a process of its own: one of these, or what is built on it; gives its URL."""
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own module
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def serve(handler: type[Handler]) -> None:
    """Serve on a free port, whose URL is printed, until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    serve(Handler)
