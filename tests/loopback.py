"""A web server on this machine that misbehaves on demand."""

import http.server
import threading
import time
from collections import Counter

PAGE = b"<!DOCTYPE html><html><body>Please log in.</body></html>"
NOTICE = b"Please log in."


class Loopback(http.server.ThreadingHTTPServer):
    """Serves `files`, a dict of contents by path; a `with` block starts and stops it.

    `script` says how requests for a path are answered: a list of manners, one a request and then `"good"`, or one
    manner for all. `tags` holds their ETags, `headers` what else is said with whole answers and with errors, `sent` the
    bytes of content that went out, `asked` the requests.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.script, self.tags, self.headers = {}, {}, {}, {}
        self.sent, self.asked, self.closing = Counter(), [], threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        pass  # a client that hangs up is what some tests are about

    def times(self, path):
        return sum(asked == path for asked, _ in self.asked)


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def send_error(self, code):
        self.send_response(code)
        for name, value in self.server.headers.get(self.path, {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self):
        path, server = self.path, self.server
        server.asked.append((path, dict(self.headers)))
        script = server.script.get(path, server.script.get("*", "good"))
        manner = script if isinstance(script, str) else script.pop(0) if script else "good"
        if manner.isdigit() or path not in server.files and manner == "good":
            return self.send_error(int(manner) if manner.isdigit() else 404)
        if manner == "loop" or manner.startswith("moved "):
            self.send_response(302)
            self.send_header("Location", path if manner == "loop" else manner.removeprefix("moved "))
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if manner.startswith("html"):
            page, kind = (NOTICE, "text/html") if manner == "html" else (PAGE, "application/octet-stream")
            return self._answer(200, page, len(page), {"Content-Type": kind}, "good")
        content = server.files[path]
        if manner == "wrong":
            content = bytes(byte ^ 1 for byte in content)
        tag = None if manner == "untagged" or path not in server.tags else server.tags[path]
        begin = self._begin(tag, manner)
        headers = {"Content-Type": "application/octet-stream"} | ({"ETag": tag} if tag else {})
        if begin is None:
            headers |= server.headers.get(path, {})
            return self._answer(200, content, len(content), headers, manner)
        if begin >= len(content):
            return self.send_error(416)
        first = 0 if manner == "another part" else begin
        headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._answer(206, content[first:], len(content) - first, headers, manner)

    def _begin(self, tag, manner):
        """Where the client wants to go on, or `None`."""
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if not wanted or manner == "no range" or (condition and condition != tag and manner != "unconditional"):
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _answer(self, code, content, length, headers, manner):
        half = len(content) // 2
        length = {"short": half, "long": length + 100}.get(manner, length)
        self.send_response(code)
        chunked = manner.startswith("chunked")
        headers["Transfer-Encoding" if chunked else "Content-Length"] = "chunked" if chunked else str(length)
        if manner == "no length":
            del headers["Content-Length"]
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if chunked:
            for piece in (content[:half], content[half:])[: 1 if manner == "chunked cut" else 2]:
                self.wfile.write(b"%x\r\n" % len(piece))
                self._send(piece)
                self.wfile.write(b"\r\n")
            self.wfile.write(b"" if manner == "chunked cut" else b"0\r\n\r\n")
        elif manner in ("cut", "stall"):
            self._send(content[:half])
            if manner == "stall":
                self.server.closing.wait(10)
        elif manner in ("trickle", "slow"):  # slow takes 0.8 seconds
            piece, until = 1 if manner == "trickle" else len(content) // 40 + 1, time.monotonic() + 5
            while content and time.monotonic() < until and not self.server.closing.wait(0.02):
                self._send(content[:piece])
                content = content[piece:]
        else:
            self._send(content)
        self.close_connection = True

    def _send(self, content):
        self.server.sent[self.path] += len(content)  # first, for the client may be done before this thread goes on
        self.wfile.write(content)
