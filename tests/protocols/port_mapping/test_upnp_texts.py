"""What routers say in UPnP, and what is made of it when they lie."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from mesh.errors import Malformed
from mesh.protocols.port_mapping import igd, ssdp
from mesh.protocols.port_mapping.mapping import Errand, Port, Refused, Transport
from mesh.protocols.port_mapping.xml_tree import MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS, Element, read_xml
from tests.vectors import cases

GATEWAY = "192.168.1.1"
TEXTS = {case["name"]: case["text"].encode() for case in cases("upnp", "port_mapping")}
ERRAND = Errand(Port(Transport.UDP, 4001), 30606, 3600)


def soap(body: str) -> bytes:
    envelope = f'<s:Envelope xmlns:s="{igd.ENVELOPE}"><s:Body>{body}</s:Body></s:Envelope>'
    return f'<?xml version="1.0"?>\r\n{envelope}'.encode()


def fault(code: object, text: str = "no") -> bytes:
    error = f"<UPnPError><errorCode>{code}</errorCode><errorDescription>{text}</errorDescription></UPnPError>"
    return soap(f"<s:Fault><faultcode>s:Client</faultcode><detail>{error}</detail></s:Fault>")


def described(control: str = "/ctl", base: str = "", kind: str = igd.SERVICES[1]) -> bytes:
    service = f"<service><serviceType>{kind}</serviceType><controlURL>{control}</controlURL></service>"
    return f"<root>{base}<device><serviceList>{service}</serviceList></device></root>".encode()


# --- the search ------------------------------------------------------------------------------------------------------


def test_a_search_says_what_is_looked_for() -> None:
    lines = ssdp.write_search(ssdp.TARGETS[0]).decode().split("\r\n")
    assert lines[0] == "M-SEARCH * HTTP/1.1"
    assert {"HOST: 239.255.255.250:1900", 'MAN: "ssdp:discover"', f"ST: {ssdp.TARGETS[0]}"} <= set(lines)
    assert lines[-2:] == ["", ""]


def test_a_recorded_answer_names_the_description() -> None:
    location = ssdp.read_location(TEXTS["search answer"])
    assert ssdp.check_url(location, GATEWAY) == "http://192.168.1.1:5000/rootDesc.xml"


GOOD = TEXTS["search answer"]


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"HTTP/1.1",
        GOOD.replace(b"200 OK", b"404 Not Found"),
        GOOD.replace(b"HTTP/1.1 200", b"NOTIFY * HTTP/1.1"),
        GOOD.replace(b"LOCATION", b"LUCATION"),
        GOOD.replace(b"InternetGatewayDevice", b"MediaServer"),
        GOOD.replace(b"MiniUPnPd", "Müller".encode()),
        GOOD + b"A: b\r\n" * 100,
        GOOD + b"A" * 5000,
    ],
)
def test_what_is_no_answer_of_a_router_is_refused(datagram: bytes) -> None:
    with pytest.raises(Malformed):
        ssdp.read_location(datagram)


@pytest.mark.parametrize(
    "address",
    [
        "http://192.168.1.66:5000/rootDesc.xml",
        "http://192.168.1.1.evil.example/",
        "http://192.168.1.1@11.1.1.2/",
        "http://user:pass@192.168.1.1/",
        "https://192.168.1.1/",
        "file:///etc/passwd",
        "//192.168.1.1/",
        "http://router.lan/",
        "http://192.168.1.1:0/",
        "http://192.168.1.1:99999/",
        "http://[::1]/",
        "http://[192.168.1.1/",
        "http://192.168.1.1/ HTTP/1.1",
        "http://192.168.1.1/\r\nX: y",
        "http://192.168.1.1/" + "a" * 2000,
        "http://192.168.1.1\\@11.1.1.2/",
        "",
    ],
)
def test_an_address_elsewhere_than_at_the_router_is_refused(address: str) -> None:
    with pytest.raises(Malformed):
        ssdp.check_url(address, GATEWAY)


# --- the description -------------------------------------------------------------------------------------------------


def test_the_recorded_description_has_a_service() -> None:
    found = igd.read_description(TEXTS["description"], "http://192.168.1.1:5000/rootDesc.xml", GATEWAY)
    assert found == igd.Service(igd.SERVICES[0], "http://192.168.1.1:5000/ctl/IPConn")


@pytest.mark.parametrize(
    ("control", "base", "found"),
    [
        ("ctl", "", "http://192.168.1.1:5000/dir/ctl"),
        ("/ctl", "", "http://192.168.1.1:5000/ctl"),
        ("/ctl", "<URLBase>http://192.168.1.1:80/</URLBase>", "http://192.168.1.1:80/ctl"),
        ("http://192.168.1.1:8080/ctl?a=b", "", "http://192.168.1.1:8080/ctl?a=b"),
    ],
)
def test_where_actions_go(control: str, base: str, found: str) -> None:
    location = "http://192.168.1.1:5000/dir/desc.xml"
    assert igd.read_description(described(control, base), location, GATEWAY).control_url == found


@pytest.mark.parametrize(
    ("control", "base"),
    [
        ("http://11.1.1.2/ctl", ""),
        ("//11.1.1.2/ctl", ""),
        ("/ctl", "<URLBase>http://11.1.1.2/</URLBase>"),
        ("file:///etc/passwd", ""),
        ("http://[", ""),
        ("", ""),
    ],
)
def test_a_description_cannot_send_us_elsewhere(control: str, base: str) -> None:
    with pytest.raises(Malformed):
        igd.read_description(described(control, base), "http://192.168.1.1:5000/d.xml", GATEWAY)


def test_a_description_without_the_service_is_refused() -> None:
    with pytest.raises(Malformed, match="no service"):
        igd.read_description(
            described(kind="urn:schemas-upnp-org:service:RenderingControl:1"), "http://192.168.1.1/", GATEWAY
        )


# --- XML -------------------------------------------------------------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BOMB = f'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY l0 "lol">{LAUGHS}]><lolz>&l9;</lolz>'.encode()


@pytest.mark.parametrize(
    "document",
    [
        BOMB,
        b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><a>&f;</a>',
        b'<!DOCTYPE a SYSTEM "http://11.1.1.2/a.dtd"><a/>',
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://11.1.1.2/"> %p;]><a/>',
        b"<a>&f;</a>",
        b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1),
        b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>",
        b"<a>" + b" " * MAX_BYTES + b"</a>",
        b"<a>",
        b"<a/><b/>",
        b"",
        b"\0\0",
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b"<a>\xff\xfe</a>",
    ],
)
def test_documents_that_are_dangerous_or_no_xml_are_refused(document: bytes) -> None:
    with pytest.raises(Malformed):
        read_xml(document)


def test_what_is_read_is_what_another_parser_reads() -> None:
    for document in (
        TEXTS["description"],
        fault(718, "a &lt;b&gt; &#99;"),
        b"<a>x<!-- c --><b/>y<![CDATA[<z>]]></a>",
    ):
        assert shape(read_xml(document)) == other_shape(ElementTree.fromstring(document))


def shape(element: Element) -> tuple[object, ...]:
    return element.name, element.text, tuple(shape(each) for each in element.children)


def other_shape(element: ElementTree.Element) -> tuple[object, ...]:
    text = "".join([element.text or "", *(each.tail or "" for each in element)]).strip()
    return element.tag.rpartition("}")[2], text, tuple(other_shape(each) for each in element)


def test_depth_and_number_up_to_the_limit_are_read() -> None:
    assert read_xml(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH).name == "a"
    assert len(read_xml(b"<a>" + b"<b/>" * (MAX_ELEMENTS - 1) + b"</a>").children) == MAX_ELEMENTS - 1


# --- actions ---------------------------------------------------------------------------------------------------------


def test_an_action_is_written_as_its_arguments() -> None:
    body = read_xml(igd.write_call(igd.SERVICES[0], igd.map_call(ERRAND, "192.168.1.10"))).child("Body")
    assert body is not None
    action = body.child("AddPortMapping")
    assert action is not None
    assert [(each.name, each.text) for each in action.children] == [
        ("NewRemoteHost", ""),
        ("NewExternalPort", "30606"),
        ("NewProtocol", "UDP"),
        ("NewInternalPort", "4001"),
        ("NewInternalClient", "192.168.1.10"),
        ("NewEnabled", "1"),
        ("NewPortMappingDescription", "mesh"),
        ("NewLeaseDuration", "3600"),
    ]
    written = igd.write_call(igd.SERVICES[0], igd.Call("Say", (("What", "<&>"),)))
    assert b"<What>&lt;&amp;&gt;</What>" in written


def test_answers_and_refusals_are_told_apart() -> None:
    told = soap(
        '<u:GetExternalIPAddressResponse xmlns:u="x"><NewExternalIPAddress> 11.3.1.2\n</NewExternalIPAddress>'
        "</u:GetExternalIPAddressResponse>"
    )
    answer = igd.read_answer(told, "GetExternalIPAddress")
    assert isinstance(answer, Element)
    assert igd.read_address(answer) == "11.3.1.2"
    assert igd.read_answer(fault(718, "ConflictInMappingEntry"), "AddPortMapping") == Refused(
        718, "ConflictInMappingEntry"
    )
    long = igd.read_answer(fault(606, "x" * 5000), "AddPortMapping")
    assert isinstance(long, Refused)
    assert len(long.reason) == igd.MAX_REASON_CHARACTERS


@pytest.mark.parametrize(
    "document",
    [
        b"<a/>",
        soap(""),
        soap("<OtherResponse/>"),
        fault(""),
        fault("-1"),
        fault("seven"),
        fault("9" * 5),
        fault("٣"),
    ],
)
def test_answers_that_say_nothing_are_refused(document: bytes) -> None:
    with pytest.raises(Malformed):
        igd.read_answer(document, "AddPortMapping")


@pytest.mark.parametrize("text", ["", "router", "11.3.1", "11.3.1.2.3", "::1", "11.3.1.256"])
def test_addresses_that_are_none_are_refused(text: str) -> None:
    answer = read_xml(f"<r><NewExternalIPAddress>{text}</NewExternalIPAddress></r>".encode())
    with pytest.raises(Malformed):
        igd.read_address(answer)


def test_a_lease_of_nothing_is_for_ever() -> None:
    assert igd.granted(ERRAND, "11.3.1.2").lease_s == 3600.0
    assert igd.granted(Errand(ERRAND.port, 30606, 0), "11.3.1.2").lease_s == math.inf
