"""What is measured: each row is data, a command for the client and the figures in its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

MIB = 1 << 20
FRAME_BYTES = 200


class Probe(Enum):
    """How a row is measured."""

    WORK = "an amount of work that lasts the wanted time, timed by the client"
    MEMORY = "what a number of held connections adds to each process"
    ALONE = "this program by itself, without a peer"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number out of an answer.

    ``member`` names it there. ``reference`` is what go-libp2p reaches with itself on the machine that the published
    ratios were measured on: a run whose figure is far from it was disturbed.
    """

    name: str
    unit: str
    member: str
    higher_is_better: bool = True
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement.

    The client is sent ``command`` with ``arguments`` and an amount of work as the member ``amount``; ``first_amount`` is
    where the search for an amount that lasts long enough begins, ``most`` where it ends. ``needs_connection``: the
    client is connected to the server before, and told its peer id; otherwise it is told the address. Of these, `MEMORY`
    uses only the figures, whose members are the sides, and `ALONE` only the figures, whose members are in
    `alone.measured`.
    """

    name: str
    group: str
    figures: Sequence[Figure]
    command: str = ""
    amount: str = ""
    first_amount: int = 1
    arguments: Mapping[str, int] = field(default_factory=dict)
    needs_connection: bool = True
    most: int = 1 << 62
    transport: str = "tcp"
    probe: Probe = Probe.WORK


OVER = {"tcp": "", "tls": ", TLS", "ws": ", WebSocket", "quic": ", QUIC"}
"""What a worker can be told to run over, and how figures say so; TCP and WebSocket carry Noise."""


def _called(name: str, group: str, transport: str) -> tuple[str, str]:
    """Name and group, which say so when a row runs over something else than TCP with Noise."""
    return (name, group) if transport == "tcp" else (f"{transport}-{name}", transport)


def _streams(at_once: int, reference: float | None, transport: str = "tcp") -> Row:
    figure = Figure(
        f"new streams, {at_once} at once{OVER[transport]}", "1/s", "per_second", reference=reference
    )
    name, group = _called(f"streams-{at_once}", "streams", transport)
    return Row(
        name=name,
        group=group,
        transport=transport,
        command="streams",
        amount="count",
        first_amount=200,
        figures=(figure,),
        arguments={"concurrency": at_once},
    )


def _connections(dialers: int, reference: float | None, transport: str = "tcp") -> Row:
    whose = "1 dialer" if dialers == 1 else f"{dialers} dialers"
    figure = Figure(
        f"connections with identify, {whose}{OVER[transport]}", "1/s", "per_second", reference=reference
    )
    name, group = _called(f"connections-{dialers}", "connections", transport)
    return Row(
        name=name,
        group=group,
        transport=transport,
        command="connections",
        amount="count",
        first_amount=2 * dialers,
        figures=(figure,),
        arguments={"concurrency": dialers},
        needs_connection=False,
    )


def _bulk(direction: str, reference: float | None, transport: str = "tcp") -> Row:
    figure = Figure(
        f"bulk {direction}, one stream{OVER[transport]}", "MB/s", f"{direction}_mb_per_s", reference=reference
    )
    short = direction.removesuffix("load")
    name, group = _called(f"bulk-{short}" if transport == "tcp" else short, "bulk", transport)
    return Row(
        name=name,
        group=group,
        transport=transport,
        command="perf",
        amount=direction,
        first_amount=16 * MIB,
        figures=(figure,),
    )


def _ping(median_us: float, p99_us: float, transport: str = "tcp") -> Row:
    over = OVER[transport]
    name, group = _called("ping", "ping", transport)
    return Row(
        name=name,
        group=group,
        transport=transport,
        command="ping",
        amount="count",
        first_amount=500,
        figures=(
            Figure(f"ping, median{over}", "us", "median_us", higher_is_better=False, reference=median_us),
            Figure(f"ping, p99{over}", "us", "p99_us", higher_is_better=False, reference=p99_us),
        ),
    )


def _memory(reference: float | None = None, transport: str = "tcp") -> Row:
    server = f"memory of an idle connection, server{OVER[transport]}"
    client = f"memory of a node and its connection, client{OVER[transport]}"
    name, group = _called("memory", "memory", transport)
    return Row(
        name=name,
        group=group,
        transport=transport,
        figures=(
            Figure(server, "KiB", "server", higher_is_better=False, reference=reference),
            Figure(client, "KiB", "client", higher_is_better=False),
        ),
        probe=Probe.MEMORY,
    )


ROWS: tuple[Row, ...] = (
    _bulk("download", 905),
    _bulk("upload", 887),
    _bulk("download", 826, "ws"),
    _bulk("upload", 392, "ws"),
    _bulk("download", 1188, "tls"),
    _bulk("upload", 968, "tls"),
    Row(
        name="frames",
        group="frames",
        command="perf",
        amount="upload",
        first_amount=5_000 * FRAME_BYTES,
        figures=(Figure(f"writes of {FRAME_BYTES} B, one stream", "1/s", "writes_per_second"),),
        arguments={"chunk": FRAME_BYTES},
    ),
    _ping(55, 117),
    _streams(1, 6_592),
    _streams(32, 17_800),
    _connections(1, 499),
    _connections(32, 1_124),
    _connections(1, None, "tls"),
    _connections(32, None, "tls"),
    _memory(),
    _bulk("download", 419, "quic"),
    _bulk("upload", None, "quic"),
    _ping(77, 181, "quic"),
    _streams(1, None, "quic"),
    _streams(32, None, "quic"),
    _connections(1, None, "quic"),
    _connections(32, None, "quic"),
    _memory(74, "quic"),
    Row(
        name="start",
        group="start",
        figures=(
            Figure("import mesh.node", "ms", "import_ms", higher_is_better=False),
            Figure("mesh --help", "ms", "help_ms", higher_is_better=False),
            Figure("mesh daemon, until ready", "ms", "ready_ms", higher_is_better=False),
            Figure("mesh daemon, idle, memory", "MiB", "idle_mib", higher_is_better=False),
        ),
        probe=Probe.ALONE,
    ),
)


def chosen(names: Sequence[str]) -> list[Row]:
    """The rows of these names or groups, in the table's order; all of them for none. Raises `ValueError`."""
    known = {row.name for row in ROWS} | {row.group for row in ROWS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no such row: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [row for row in ROWS if not names or row.name in names or row.group in names]
