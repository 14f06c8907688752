"""What a NAT does, found out from behind it: a server with two addresses and two ports, and who asks it.

`python -m mesh.lab.probe serve` runs the server (in `pub2`), `… ask [PORT]` prints the findings as JSON (in a home).

UDP: a request names what the answer is to come from, another address (``ca``) or another port (``cp``), and the answer
has the source that was seen. Mapping: all four are asked from one socket. Filtering: a local port that has sent to one of
them alone asks for answers from elsewhere. TCP: the server says what it saw, and connects back from its other address
or from another port, on request.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final

ADDRESSES: Final = ("11.2.1.2", "11.22.1.2")
PORTS: Final = (3478, 3479)
PLACES: Final = tuple((address, port) for address in ADDRESSES for port in PORTS)
WAIT_S: Final = 0.4
TRIES: Final = 2
MAX_BYTES: Final = 2048

Place = tuple[str, int]


# --- the server -----------------------------------------------------------------------------------------------------


def serve(ready: Any = sys.stdout) -> None:
    """Answer until the process ends."""
    selector = selectors.DefaultSelector()
    datagrams = {place: _bound(socket.SOCK_DGRAM, place) for place in PLACES}
    for place, bound in datagrams.items():
        selector.register(bound, selectors.EVENT_READ, ("udp", place))
    for place in PLACES:
        listener = _bound(socket.SOCK_STREAM, place)
        listener.listen(16)
        selector.register(listener, selectors.EVENT_READ, ("tcp", place))
    ready.write("ready\n")
    ready.flush()
    while True:
        for key, _ in selector.select():
            kind, place = key.data
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            with contextlib.suppress(OSError, ValueError, KeyError):
                if kind == "udp":
                    _answer(datagrams, place, *sock.recvfrom(MAX_BYTES))
                else:
                    _serve_connection(sock.accept()[0], place)


def _answer(sockets: dict[Place, socket.socket], place: Place, data: bytes, source: Place) -> None:
    asked = json.loads(data)
    sender = _elsewhere(place, address=bool(asked["ca"]), port=bool(asked["cp"]))
    answer = {"id": asked["id"], "seen": list(source[:2])}
    sockets[sender].sendto(json.dumps(answer).encode(), source)


def _serve_connection(sock: socket.socket, place: Place) -> None:
    """Say what was seen, then connect back as asked and say whether that came to anything."""
    with sock:
        sock.settimeout(4 * WAIT_S)
        seen = sock.getpeername()[:2]
        sock.sendall(json.dumps({"seen": list(seen)}).encode() + b"\n")
        while line := _read_line(sock):
            asked = json.loads(line)
            back = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            with back:
                back.settimeout(WAIT_S)
                back.bind((_elsewhere(place, address=bool(asked["ca"]), port=False)[0], 0))
                came = back.connect_ex(seen) == 0
            sock.sendall(json.dumps({"came": came}).encode() + b"\n")


def _elsewhere(place: Place, *, address: bool, port: bool) -> Place:
    at, number = ADDRESSES.index(place[0]), PORTS.index(place[1])
    return ADDRESSES[at ^ address], PORTS[number ^ port]


# --- who asks ---------------------------------------------------------------------------------------------------------


def ask(port: int) -> dict[str, Any]:
    """What stands before this place, seen from the local ``port`` and the three above it."""
    return {"udp": _ask_udp(port), "tcp": _ask_tcp(port)}


def _ask_udp(port: int) -> dict[str, Any]:
    with _bound(socket.SOCK_DGRAM, ("0.0.0.0", port)) as sock:
        seen = [_request(sock, place, ca=False, cp=False) for place in PLACES]
    if None in seen:
        return {"mapping": "blocked"}
    found: dict[str, Any] = {"mapping": _mapping(seen), "keeps_port": seen[0] == [seen[0][0], port]}
    with _bound(socket.SOCK_DGRAM, ("0.0.0.0", port + 1)) as sock:
        elsewhere = _request(sock, PLACES[0], ca=True, cp=True)
    with _bound(socket.SOCK_DGRAM, ("0.0.0.0", port + 2)) as sock:
        other_port = elsewhere or _request(sock, PLACES[0], ca=False, cp=True)
    return found | {"filtering": "EIF" if elsewhere else "ADF" if other_port else "APDF", "seen": seen[0]}


def _ask_tcp(port: int) -> dict[str, Any]:
    seen: list[Any] = []
    for place in PLACES:
        with _connected(port, place) as sock:
            seen.append(None if sock is None else json.loads(_read_line(sock) or b"{}").get("seen"))
    if None in seen:
        return {"mapping": "blocked"}
    with (
        _bound(socket.SOCK_STREAM, ("0.0.0.0", port + 3)) as listener,
        _connected(port + 3, PLACES[0]) as sock,
    ):
        listener.listen(4)
        assert sock is not None
        _read_line(sock)
        came = {}
        for name, other_address in (("EIF", True), ("ADF", False)):
            sock.sendall(json.dumps({"ca": other_address}).encode() + b"\n")
            came[name] = json.loads(_read_line(sock) or b"{}").get("came", False)
    filtering = next((name for name, arrived in came.items() if arrived), "APDF")
    return {
        "mapping": _mapping(seen),
        "keeps_port": seen[0] == [seen[0][0], port],
        "filtering": filtering,
        "seen": seen[0],
    }


def _request(sock: socket.socket, place: Place, *, ca: bool, cp: bool) -> Any:
    """The source that the server saw, if its answer came."""
    sock.settimeout(WAIT_S)
    for number in range(TRIES):
        request = {"id": f"{place}{ca}{cp}", "ca": ca, "cp": cp, "try": number}
        try:
            sock.sendto(json.dumps(request).encode(), place)
            while True:
                answer = json.loads(sock.recv(MAX_BYTES))
                if answer["id"] == request["id"]:
                    return answer["seen"]
        except OSError:
            continue
    return None


def _mapping(seen: list[Any]) -> str:
    """From the sources that the four places saw, in their order."""
    if all(each == seen[0] for each in seen):
        return "EIM"
    return "ADM" if seen[0] == seen[1] and seen[2] == seen[3] else "APDM"


# --- sockets ------------------------------------------------------------------------------------------------------------


def _bound(kind: int, place: Place) -> socket.socket:
    """A socket that shares its port."""
    sock = socket.socket(socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(place)
    return sock


@contextlib.contextmanager
def _connected(port: int, place: Place) -> Iterator[socket.socket | None]:
    """A connection from a port, reset at the end; None when there is none."""
    with _bound(socket.SOCK_STREAM, ("0.0.0.0", port)) as sock:
        sock.settimeout(4 * WAIT_S)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        yield sock if sock.connect_ex(place) == 0 else None


def _read_line(sock: socket.socket) -> bytes:
    """A line of the other end; empty at the end or when nothing came in time."""
    line = b""
    try:
        while not line.endswith(b"\n") and len(line) < MAX_BYTES:
            piece = sock.recv(1)
            if not piece:
                return b""
            line += piece
    except OSError:
        return b""
    return line


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["serve"]:
        serve()
    else:
        port = int(arguments[1]) if len(arguments) > 1 else 4001
        sys.stdout.write(json.dumps(ask(port)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
