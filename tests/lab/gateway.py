"""A gateway that wakes an agent, and the agent: `python -m tests.lab.gateway PORT`, in the place of the daemon.

Each request is an event `waked`. The agent confirms what it is told of, and answers a question: a message that begins
with `ask`. Ends with its input.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.error import URLError
from urllib.parse import unquote
from urllib.request import Request, urlopen

COMMAND = re.compile(r"curl -s -X POST (\S+) -H \S+ \S+ -d '(.*?)'$", re.MULTILINE)
CONFIRM = re.compile(r"/messages/([^/\s]+)/resumed$")
ANSWER_S = 5.0
AGAIN_S = 0.5
TRIES = 60


def tell(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Gateway(BaseHTTPRequestHandler):
    """Takes every hook with 200 and lets the agent act on it, once for each key."""

    protocol_version = "HTTP/1.1"
    acted_on: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key, text = self.headers["idempotency-key"], body.get("message") or body["text"]
        named = [
            (url, found[1], said) for url, said in COMMAND.findall(text) if (found := CONFIRM.search(url))
        ]
        tell(
            event="waked",
            path=self.path,
            authorization=self.headers["authorization"],
            key=key,
            again=key in self.acted_on,
            messages=[unquote(message_id) for _, message_id, _ in named],
            text=text,
        )
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
        if key not in self.acted_on:
            self.acted_on.add(key)
            threading.Thread(target=act, args=(text, named), daemon=True).start()

    def log_message(self, format: str, *args: Any) -> None:
        """Events tell more."""


def act(text: str, named: list[tuple[str, str, str]]) -> None:
    """What the agent does with a wake's text."""
    for url, message_id, body in named:
        post(url, body)
        if "\n> ask" in text:
            reply, said = next(each for each in COMMAND.findall(text) if each[0].endswith("/send"))
            post(reply, json.dumps({**json.loads(said), "message": "yes", "replyTo": unquote(message_id)}))


def post(url: str, body: str) -> None:
    """Ask the daemon's API, again while it does not answer: it may be starting."""
    for _ in range(TRIES):
        try:
            request = Request(url, body.encode(), {"content-type": "application/json"})
            with urlopen(request, timeout=ANSWER_S):
                return
        except (URLError, TimeoutError, ConnectionError):
            time.sleep(AGAIN_S)
    tell(event="refused", url=url)


def main(port: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tell(event="ready", peer="", addrs=[])
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
