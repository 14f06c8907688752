"""What `mesh.network.quic.qh3` takes from qh3's inside is still there, in the version that is pinned.

A failure here after an upgrade of qh3 means: read what changed, then run every test of this folder and the handshakes
with other implementations before the pin moves.
"""

from __future__ import annotations

import ast
import inspect
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import qh3
from qh3 import tls
from qh3._hazmat import Certificate, ECDHP256KeyExchange, QuicConnectionCore, X25519KeyExchange
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection
from qh3.quic.tls_bridge import QuicTlsBridge

from mesh.network.quic.qh3 import handshake as qh3_handshake
from mesh.network.quic.qh3 import tls as qh3_tls
from mesh.network.quic.qh3.handshake import Handshake
from mesh.network.quic.qh3.tls import MutualBridge, MutualContext

ROOT = Path(__file__).parents[3]

METHODS: dict[type, dict[str, str]] = {
    QuicConnection: {
        "connect": "self addr now",
        "receive_datagram": "self data addr now",
        "_create_core": "self remote_addr initial_dcid now",
        "_create_tls": "self remote_source_cid",
        "_drain_core": "self",
        "_drain_tls": "self",
    },
    QuicTlsBridge: {
        "receive_crypto": "self epoch data offset version",
        "serialize_transport_parameters": "self",
        "parse_transport_parameters": "self data from_session_ticket",
        "next_crypto_data": "self",
        "next_traffic_secret": "self",
        "_handle_tls": "self data epoch",
    },
    tls.Context: {
        "handle_message": "self input_data output_buf epoch",
        "_client_send_hello": "self output_buf",
        "_client_handle_encrypted_extensions": "self input_buf",
        "_client_handle_certificate_verify": "self input_buf",
        "_server_handle_hello": "self input_buf initial_buf handshake_buf onertt_buf",
        "_server_handle_finished": "self input_buf output_buf",
        "_process_certificate": "self certificate",
        "_setup_traffic_protection": "self direction epoch label",
        "_set_state": "self state",
    },
}
CORE = {
    "receive_datagram": "data, addr, now, datagram_size=None",
    "receive_gro_buffer": "buffer, segment_size, addr, now",
    "next_event": "",
    "poll_transmit": "now",
    "get_timer": "",
    "handle_timer": "now",
    "open_stream": "unidirectional",
    "send_stream": "stream_id, data, fin=False",
    "reset_stream": "stream_id, error_code",
    "stop_sending": "stream_id, error_code",
    "send_ping": "uid",
    "close": "error_code, frame_type=None, reason=None",
    "get_send_buffer_size": "stream_id=None",
    "change_connection_id": "",
    "restore_send_packet_number": "space, packet_number",
}
CORE_PROPERTIES = (
    "active_path",
    "congestion_window",
    "bytes_in_flight",
    "smoothed_rtt",
    "state",
    "stream_limits",
    "loss_total",
    "pto_total",
    "outstanding_application_packets",
    "received_authenticated_packet",
    "send_key_phase",
)


def test_the_version_is_the_one_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = [line for line in project["dependencies"] if line.startswith("qh3")]
    assert pins[0].split(";")[0].strip() == f"qh3=={qh3.__version__}" == "qh3==2.1.0"


@pytest.mark.parametrize(
    ("method", "parameters"),
    [(getattr(of, name), said) for of, methods in METHODS.items() for name, said in methods.items()],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_a_method_takes_what_it_took(method: Callable[..., object], parameters: str) -> None:
    assert list(inspect.signature(method).parameters) == parameters.split()


@pytest.mark.parametrize(("name", "parameters"), CORE.items())
def test_a_method_of_the_core_takes_what_it_took(name: str, parameters: str) -> None:
    said = getattr(QuicConnectionCore, name).__text_signature__
    assert said == f"($self, {parameters})" if parameters else said == "($self)"


@pytest.mark.parametrize("name", CORE_PROPERTIES)
def test_the_core_tells_what_it_told(name: str) -> None:
    assert inspect.isgetsetdescriptor(getattr(QuicConnectionCore, name))


def test_the_core_is_made_of_what_it_was_made_of() -> None:
    said = QuicConnectionCore.__text_signature__
    assert said is not None
    given = _keywords(qh3_handshake, "QuicConnectionCore")
    assert given == [name.strip() for name in said.strip("()").split(",")]


def _keywords(module: object, called: str) -> list[str]:
    for node in ast.walk(ast.parse(inspect.getsource(module))):  # type: ignore[arg-type]
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == called:
            return [keyword.arg or "" for keyword in node.keywords]
    raise AssertionError(f"{called} is not called")


def _touched(ours: type) -> set[str]:
    """Names with an underscore that a class of ours uses on itself, or on a context it adopts, and does not make."""
    tree = ast.parse(inspect.getsource(ours))
    used: set[str] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", "context")
        ):
            used.add(node.attr)
    own = (
        set(vars(ours))
        | set(getattr(ours, "__annotations__", ()))
        | {"_settings", "_engine", "bridge", "context", "protections"}
    )
    return {name for name in used - own if not name.startswith("__")}


def test_every_name_we_touch_is_qh3s() -> None:
    connection = QuicConnection(configuration=QuicConfiguration())
    context = tls.Context(is_client=True)
    bridge = QuicTlsBridge(QuicConfiguration(), version=1, local_initial_source_connection_id=bytes(8))
    lazily = {"_next_dec_key", "_expected_verify_data"}
    for ours, theirs in ((Handshake, connection), (MutualBridge, bridge), (MutualContext, context)):
        touched = _touched(ours) - lazily
        assert touched, ours
        assert not {name for name in touched if not hasattr(theirs, name)}, ours
    source = inspect.getsource(tls.Context)
    for name in lazily:
        assert f"self.{name} = " in source


def test_the_handshake_needs_no_method_that_qh3_does_not_call() -> None:
    """Each method of ours that takes the place of one of qh3's is called by qh3 under that name."""
    sources = {
        Handshake: inspect.getsource(QuicConnection),
        MutualBridge: inspect.getsource(QuicTlsBridge) + inspect.getsource(QuicConnection),
        MutualContext: inspect.getsource(tls.Context) + inspect.getsource(QuicTlsBridge),
    }
    for ours, source in sources.items():
        for name in vars(ours):
            if hasattr(ours.__mro__[1], name) and inspect.isfunction(vars(ours)[name]) and name != "__init__":
                assert f".{name}(" in source, (ours, name)


def test_what_tls_raises_is_covered() -> None:
    parsing = qh3_tls._PARSING
    assert not any(issubclass(tls.Alert, kind) for kind in parsing)
    for junk in (b"", b"\x30\x03abc", b"\x30\x82\xff\xff"):
        with pytest.raises(parsing):
            Certificate(junk)
    for exchange in (X25519KeyExchange, ECDHP256KeyExchange):
        with pytest.raises(parsing):
            exchange().exchange(b"short")
