"""aioquic's insides are as `mesh.network.quic.aioquic` expects them. A failure means: read its changes, then adapt.

The files are searched for the private names they touch, so that none is forgotten in the lists below.
"""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import re
from pathlib import Path

import pytest
from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.congestion.cubic import CubicCongestionControl
from aioquic.quic.connection import Limit, QuicConnection, QuicConnectionId, QuicNetworkPath
from aioquic.quic.packet_builder import QuicPacketBuilder, QuicSentPacket
from aioquic.quic.recovery import QuicPacketPacer, QuicPacketRecovery, QuicPacketSpace
from aioquic.quic.stream import QuicStream, QuicStreamReceiver, QuicStreamSender

from mesh.network.quic.aioquic import engine as aioquic_engine

VERSION = "1.7.2"
FOLDER = Path(aioquic_engine.__file__).parent
SOURCES = sorted(FOLDER.glob("*.py"))
ROOT = Path(__file__).parents[3]

SIGNATURES: dict[str, tuple[object, str]] = {
    "connection": (
        QuicConnection.__init__,
        "(self, *, configuration, original_destination_connection_id, retry_source_connection_id,"
        " session_ticket_fetcher, session_ticket_handler, token_handler)",
    ),
    "_initialize": (QuicConnection._initialize, "(self, peer_cid)"),
    "_handle_ack_frame": (QuicConnection._handle_ack_frame, "(self, context, frame_type, buf)"),
    "receiver": (QuicStreamReceiver.__init__, "(self, stream_id, readable)"),
    "handle_frame": (QuicStreamReceiver.handle_frame, "(self, frame)"),
    "_handle_crypto_frame": (QuicConnection._handle_crypto_frame, "(self, context, frame_type, buf)"),
    "_handle_max_data_frame": (QuicConnection._handle_max_data_frame, "(self, context, frame_type, buf)"),
    "_handle_max_stream_data_frame": (
        QuicConnection._handle_max_stream_data_frame,
        "(self, context, frame_type, buf)",
    ),
    "_handle_max_streams_bidi_frame": (
        QuicConnection._handle_max_streams_bidi_frame,
        "(self, context, frame_type, buf)",
    ),
    "_handle_stop_sending_frame": (
        QuicConnection._handle_stop_sending_frame,
        "(self, context, frame_type, buf)",
    ),
    "_parse_transport_parameters": (
        QuicConnection._parse_transport_parameters,
        "(self, data, from_session_ticket)",
    ),
    "_payload_received": (QuicConnection._payload_received, "(self, context, plain, crypto_frame_required)"),
    "_replenish_connection_ids": (QuicConnection._replenish_connection_ids, "(self)"),
    "_get_or_create_stream": (QuicConnection._get_or_create_stream, "(self, frame_type, stream_id)"),
    "_stream_is_discarded": (QuicConnection._stream_is_discarded, "(self, stream_id)"),
    "_stream_limit": (QuicConnection._stream_limit, "(self, stream_id)"),
    "_write_application": (QuicConnection._write_application, "(self, builder, network_path, now)"),
    "_write_ack_frame": (QuicConnection._write_ack_frame, "(self, builder, space, now)"),
    "_write_crypto_frame": (QuicConnection._write_crypto_frame, "(self, builder, space, stream)"),
    "_write_handshake_done_frame": (QuicConnection._write_handshake_done_frame, "(self, builder)"),
    "_write_new_connection_id_frame": (
        QuicConnection._write_new_connection_id_frame,
        "(self, builder, connection_id)",
    ),
    "_write_path_challenge_frame": (
        QuicConnection._write_path_challenge_frame,
        "(self, builder, network_path)",
    ),
    "_write_path_response_frame": (QuicConnection._write_path_response_frame, "(self, builder, challenge)"),
    "_write_ping_frame": (QuicConnection._write_ping_frame, "(self, builder, uids, comment)"),
    "_write_retire_connection_id_frame": (
        QuicConnection._write_retire_connection_id_frame,
        "(self, builder, sequence_number)",
    ),
    "_on_connection_limit_delivery": (
        QuicConnection._on_connection_limit_delivery,
        "(self, delivery, limit)",
    ),
    "_update_traffic_key": (
        QuicConnection._update_traffic_key,
        "(self, direction, epoch, cipher_suite, secret)",
    ),
    "_alpn_handler": (QuicConnection._alpn_handler, "(self, alpn_protocol)"),
    "_close_end": (QuicConnection._close_end, "(self)"),
    "_send_probe": (QuicConnection._send_probe, "(self)"),
    "close": (QuicConnection.close, "(self, error_code, frame_type, reason_phrase)"),
    "connect": (QuicConnection.connect, "(self, addr, now)"),
    "datagrams_to_send": (QuicConnection.datagrams_to_send, "(self, now)"),
    "get_timer": (QuicConnection.get_timer, "(self)"),
    "handle_timer": (QuicConnection.handle_timer, "(self, now)"),
    "receive_datagram": (QuicConnection.receive_datagram, "(self, data, addr, now)"),
    "request_key_update": (QuicConnection.request_key_update, "(self)"),
    "send_ping": (QuicConnection.send_ping, "(self, uid)"),
    "context": (
        tls.Context.__init__,
        "(self, is_client, alpn_protocols, cadata, cafile, capath, cipher_suites, logger, max_early_data,"
        " server_name, verify_mode)",
    ),
    "handle_message": (tls.Context.handle_message, "(self, input_data, output_buf)"),
    "_set_peer_certificate": (tls.Context._set_peer_certificate, "(self, certificate)"),
    "_client_handle_certificate_verify": (
        tls.Context._client_handle_certificate_verify,
        "(self, input_buf)",
    ),
    "_server_handle_certificate": (tls.Context._server_handle_certificate, "(self, input_buf)"),
    "_server_handle_certificate_verify": (
        tls.Context._server_handle_certificate_verify,
        "(self, input_buf)",
    ),
    "recovery": (
        QuicPacketRecovery.__init__,
        "(self, *, congestion_control_algorithm, initial_rtt, max_datagram_size,"
        " peer_completed_address_validation, send_probe, logger, quic_logger)",
    ),
    "on_packet_sent": (QuicPacketRecovery.on_packet_sent, "(self, *, packet, space)"),
    "get_probe_timeout": (QuicPacketRecovery.get_probe_timeout, "(self, *, include_max_ack_delay)"),
    "window": (CubicCongestionControl.__init__, "(self, max_datagram_size)"),
    "on_packet_acked": (CubicCongestionControl.on_packet_acked, "(self, *, now, packet)"),
    "on_rtt_measurement": (CubicCongestionControl.on_rtt_measurement, "(self, *, now, rtt)"),
    "pacer": (QuicPacketPacer.__init__, "(self, *, max_datagram_size)"),
    "update_rate": (QuicPacketPacer.update_rate, "(self, congestion_window, smoothed_rtt)"),
    "next_send_time": (QuicPacketPacer.next_send_time, "(self, now)"),
    "update_after_send": (QuicPacketPacer.update_after_send, "(self, now)"),
    "start_packet": (QuicPacketBuilder.start_packet, "(self, packet_type, crypto)"),
    "start_frame": (QuicPacketBuilder.start_frame, "(self, frame_type, capacity, handler, handler_args)"),
    "flush": (QuicPacketBuilder.flush, "(self)"),
    "stream": (
        QuicStream.__init__,
        "(self, stream_id, max_stream_data_local, max_stream_data_remote, readable, writable)",
    ),
    "get_frame": (QuicStreamSender.get_frame, "(self, max_size, max_offset)"),
    "on_data_delivery": (QuicStreamSender.on_data_delivery, "(self, delivery, start, stop, fin)"),
    "on_reset_delivery": (QuicStreamSender.on_reset_delivery, "(self, delivery)"),
    "reset": (QuicStreamSender.reset, "(self, error_code)"),
    "write": (QuicStreamSender.write, "(self, data, end_stream)"),
    "get_reset_frame": (QuicStreamSender.get_reset_frame, "(self)"),
    "stop": (QuicStreamReceiver.stop, "(self, error_code)"),
    "get_stop_frame": (QuicStreamReceiver.get_stop_frame, "(self)"),
    "starting_offset": (QuicStreamReceiver.starting_offset, "(self)"),
}


def test_the_version_is_the_one_these_files_were_written_for() -> None:
    assert importlib.metadata.version("aioquic") == VERSION
    assert VERSION in (aioquic_engine.__doc__ or "")
    assert f"aioquic=={VERSION}" in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", SIGNATURES)
def test_methods_that_are_called_or_overridden_have_their_signatures(name: str) -> None:
    method, expected = SIGNATURES[name]
    parameters = inspect.signature(method).parameters  # type: ignore[arg-type]
    words: list[str] = []
    for parameter in parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        words.append(parameter.name)
    assert f"({', '.join(words)})" == expected


def instances() -> list[object]:
    configuration = QuicConfiguration()
    connection = QuicConnection(configuration=configuration)
    connection.connect(("192.0.2.1", 1), 0.0)
    stream = QuicStream(0)
    builder = QuicPacketBuilder(host_cid=b"", peer_cid=b"", version=1, is_client=True, max_datagram_size=1200)
    return [
        configuration,
        connection,
        connection.tls,
        connection._loss,
        connection._loss._cc,
        connection._loss._pacer,
        CubicCongestionControl(1200),
        connection._host_cids[0],
        connection._network_paths[0],
        stream,
        stream.sender,
        stream.receiver,
        builder,
        QuicSentPacket(tls.Epoch.ONE_RTT, True, True, False, 0, connection.tls and None),  # type: ignore[arg-type]
        Limit(0, "", 0),
        QuicConnectionId(b"", 0),
        QuicNetworkPath(None),
        QuicPacketSpace(),
    ]


def own_names() -> set[str]:
    """Names that these files define themselves."""
    names: set[str] = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
    return names


def test_every_private_attribute_that_is_read_exists() -> None:
    read = {
        node.attr
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr)
    }
    there = {name for instance in instances() for name in dir(instance)}
    assert read - own_names() <= there
    assert len(read & there) > 60, "the search finds nothing any more"


def test_attributes_that_are_replaced_existed_before() -> None:
    """A renamed attribute would be set in vain, and the stock value be used."""
    replaced = {
        "_logger",
        "_loss",
        "_network_paths",
        "_local_max_streams_bidi",
        "_local_max_streams_uni",
        "_local_max_stream_data_uni",
        "_streams",
        "_crypto_buffers",
        "_max_datagram_size",
        "_packet_number",
        "_pacing_at",
        "_cc",
        "_pacer",
        "_request_client_certificate",
        "_signature_algorithms",
        "_supported_groups",
        "_peer_certificate",
        "_time_of_last_sent_ack_eliciting_packet",
        "_datagram_needs_padding",
        "_pending",
        "_ranges",
        "_remote_max_data_used",
        "alpn_cb",
        "update_traffic_key_cb",
        "handshake_extensions",
        "certificate_private_key",
        "additive_increase_factor",
        "bucket_max",
        "bucket_time",
        "packet_time",
        "last_ack",
        "in_flight",
        "stateless_reset_token",
    }
    there = {name for instance in instances() for name in vars(instance)}
    assert replaced <= there


def test_every_stock_stream_frame_goes_through_what_is_overridden() -> None:
    """aioquic builds its table of frames from bound methods, so that overriding reaches it."""
    table = vars(QuicConnection(configuration=QuicConfiguration()))["_QuicConnection__frame_handlers"]
    assert {
        number: handler.__name__ for number, (handler, _) in table.items() if number in (5, 6, 16, 17, 18)
    } == {
        0x05: "_handle_stop_sending_frame",
        0x06: "_handle_crypto_frame",
        0x10: "_handle_max_data_frame",
        0x11: "_handle_max_stream_data_frame",
        0x12: "_handle_max_streams_bidi_frame",
    }
