"""A page that counts its visitors in Redis, as a WebAssembly component.

It exports `wasi:http/incoming-handler`: the host owns the listening socket and calls `handle` once a request, each time
in a new instance. To the outside it is plain Python: `socket` ends in `wasi:sockets`, and the name `redis` is looked up
through `wasi:sockets/ip-name-lookup`, which asks the container's own resolver.

`GET /` answers with a page, `GET /count.json` with JSON. Both count.
"""

import encodings.idna  # noqa: F401  `socket` wants this codec, and a component can import nothing after it was built.
import json
import os
import socket
import sys

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.wasi_http_types import (
    Fields,
    IncomingRequest,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Side by side</title>
<style>
  body {{ font: 1.2rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1rem }}
  strong {{ font-size: 4rem; display: block }}
  code {{ background: #8882; padding: .1em .3em; border-radius: .2em }}
</style>
<h1>Two hulls, one deck</h1>
<p>This page comes from a WebAssembly component (<code>{platform}</code>).
It asked <code>{server}</code>, a Linux container, for your number:
<strong>{count}</strong>
<p>Reload to be counted again, or ask <a href="/count.json">for JSON</a>.
"""


class RedisError(Exception):
    """What Redis answered instead of a number."""


class Redis:
    """As much of a Redis client as one request needs: https://redis.io/docs/latest/develop/reference/protocol-spec/"""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=5)
        self.replies = self.socket.makefile("rb")

    def increment(self, key: str) -> int:
        words = [b"INCR", key.encode()]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        reply = self.replies.readline()
        if not reply.startswith(b":"):
            raise RedisError(reply.decode(errors="replace").strip() or "the connection was closed")
        return int(reply[1:])

    def close(self) -> None:
        self.replies.close()
        self.socket.close()


def count_visit(host: str) -> int:
    redis = Redis(host, 6379)
    try:
        return redis.increment("visits")
    finally:
        redis.close()


def answer(path: str) -> tuple[int, str, str]:
    """Status, content type and body for a path."""
    host = os.environ.get("REDIS_HOST", "redis")
    if path not in ("/", "/count.json"):
        return 404, "text/plain", "There is / and /count.json.\n"
    try:
        count = count_visit(host)
    except (OSError, RedisError) as error:
        return 503, "text/plain", f"Cannot count in {host}: {error}\n"
    if path == "/":
        return 200, "text/html; charset=utf-8", PAGE.format(platform=sys.platform, server=host, count=count)
    return 200, "application/json", json.dumps({"count": count, "server": host, "platform": sys.platform}) + "\n"


class IncomingHandler(exports.IncomingHandler):
    """The component's one export."""

    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path = (request.path_with_query() or "/").split("?")[0]
        status, kind, text = answer(path)
        content = text.encode()
        headers = [("content-type", kind.encode()), ("content-length", str(len(content)).encode())]
        response = OutgoingResponse(Fields.from_list(headers))
        response.set_status_code(status)
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            for start in range(0, len(content), 4096):
                # WASI takes at most 4 KiB in one blocking write.
                stream.blocking_write_and_flush(content[start : start + 4096])
        OutgoingBody.finish(body, None)
