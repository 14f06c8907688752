"""`mesh conform`: its list, its exit statuses and the files it writes."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mesh.console.application import run
from mesh.multiformats.multiaddr import Multiaddr
from tests.conformance.runs import dial_for_ever, node_under_test

NOBODY = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWRL7ACmoLiv5hHXRDKEdR6AKBncvqixeJ2geRr72dNYJt"
TCP = "/ip4/127.0.0.1/tcp/0"
QUIC = "/ip4/127.0.0.1/udp/0/quic-v1"


def test_the_list_needs_no_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["conform", "--list", "yamux/3", "--must"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line.startswith("yamux/3.") and " MUST " in line for line in lines)


@pytest.mark.parametrize(("listen", "suites"), [(TCP, {"noise", "tls", "yamux"}), (QUIC, {"quic"})])
def test_listening_has_the_cases_of_its_transport(
    listen: str, suites: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["conform", "--list", "--listen", listen]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert all(name.endswith("m") for name in names)
    found = {name.partition("/")[0] for name in names}
    assert suites <= found
    assert found == suites or "quic" not in found


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "/p2p/"),
        (["/ip4/127.0.0.1/tcp/9"], 2, "/p2p/"),
        ([NOBODY, "nonsense"], 2, "no case is called nonsense"),
        ([NOBODY, "--security", "plain"], 2, "noise or tls"),
        ([NOBODY, "multistream/1.2"], 3, "cannot be tested"),
        (["--listen", QUIC, "noise"], 2, "no such case"),
        (["--listen", f"{TCP}/ws"], 2, "only TCP and QUIC"),
    ],
)
def test_what_cannot_be_done_has_its_exit_status(
    arguments: list[str], status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["conform", *arguments]) == status
    assert words in capsys.readouterr().err


async def conform(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mesh", "conform", *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_a_run_writes_what_it_is_asked_for(tmp_path: Path) -> None:
    async with node_under_test() as node:
        address = str(node.listen_addrs[0])
        files = {name: str(tmp_path / name) for name in ("junit", "json", "html", "wire", "write-baseline")}
        options = [word for name, path in files.items() for word in (f"--{name}", path)]
        status, out = await conform(address, "multistream/2", "noise/1.1", "--timeout-scale", "3", *options)
        assert status == 0, out
        assert "ok   noise/1.1" in out
        results = json.loads((tmp_path / "json").read_text())["results"]
        assert [each["id"] for each in results if each["verdict"] == "fail"] == []
        assert ElementTree.parse(tmp_path / "junit").getroot().tag == "testsuites"
        assert "noise/1.1" in (tmp_path / "html").read_text()
        assert "2f6e6f697365" in (tmp_path / "wire" / "noise-1.1.log").read_text()
        kept = tmp_path / "write-baseline"
        status, out = await conform(address, "noise/1.1", "--baseline", str(kept))
        assert status == 0
        assert out.startswith("0 differences")
        kept.write_text('{"verdicts": {"noise/1.1": "fail"}}')
        status, out = await conform(address, "noise/1.1", "--baseline", str(kept))
        assert status == 1
        assert "noise/1.1: fail expected, pass found" in out


@pytest.mark.parametrize(("listen", "case"), [(TCP, "noise/1.1m"), (QUIC, "quic/1.1m")])
async def test_who_dials_a_listening_harness_is_tested(listen: str, case: str) -> None:
    words = ("-m", "mesh", "conform", "--listen", listen, case, "--timeout-scale", "3")
    harness = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
    assert harness.stdout is not None
    said = (await harness.stdout.readline()).decode().split()
    assert said[0] == "dial"
    async with node_under_test() as node:
        dialing = asyncio.create_task(dial_for_ever(node, Multiaddr.parse(said[1])))
        out, _ = await harness.communicate()
        dialing.cancel()
        await asyncio.gather(dialing, return_exceptions=True)
    assert harness.returncode == 0, out.decode()
    assert f"ok   {case}" in out.decode()
