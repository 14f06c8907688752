"""What is told of a run of `GossipNetwork`. It follows from parameters and seed alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mesh.protocols.gossip.topics import COUNTS
from mesh.simulation.figures import percentile, share, spread_of
from mesh.simulation.gossip_network import ARRIVAL_MS, GossipNetwork
from mesh.simulation.gossip_nodes import HonestNode
from mesh.simulation.gossip_parameters import THRESHOLDS, TOPIC
from mesh.simulation.gossip_tally import Course


@dataclass(frozen=True, slots=True)
class Delivery:
    """How much of what was to be delivered was. `pairs` are messages times nodes."""

    messages: int
    complete: int
    """Messages that all got."""
    pairs: int
    delivered: int

    @property
    def ratio(self) -> float:
        return share(self.delivered, self.pairs)

    def told(self) -> dict[str, object]:
        return {
            "messages": self.messages,
            "messages_all_got": self.complete,
            "deliveries_due": self.pairs,
            "delivery_ratio": round(self.ratio, 6),
        }


def delivery_of(network: GossipNetwork, nodes: Iterable[HonestNode], courses: Iterable[Course]) -> Delivery:
    """Of these messages to these nodes, as far as they were there."""
    stable = list(nodes)
    messages = complete = pairs = delivered = 0
    for course in courses:
        stayed = (node.number for node in stable if node.left_ms > course.published_ms + ARRIVAL_MS)
        got, wanted = network.tally.reached(course, stayed)
        messages += 1
        complete += got == wanted
        pairs += wanted
        delivered += got
    return Delivery(messages, complete, pairs, delivered)


def figures_of(network: GossipNetwork, attackers: Sequence[Standing]) -> dict[str, dict[str, object]]:
    """Of a run that is over; `attackers` is how they stood in the course of it, at its end last."""
    figures = {
        "delivery": _delivery(network),
        **_courses(network),
        "traffic": _traffic(network),
        "meshes": _meshes(network),
        "routers": _counts(network),
    }
    parameters = network.parameters
    if parameters.scored:
        figures["honest_nodes"] = _honest_peers(network)
    if parameters.attacker_count:
        figures["attackers"] = _attackers(network, attackers)
    return figures


def _delivery(network: GossipNetwork) -> dict[str, object]:
    courses = network.tally.courses
    parameters = network.parameters
    told = delivery_of(network, network.honest, courses).told()
    told["departures"] = network.departures
    if parameters.cut_ms is not None:
        begin, end = parameters.cut_ms
        phases = {
            "before_the_cut": [each for each in courses if each.published_ms < begin],
            "during_the_cut": [each for each in courses if begin <= each.published_ms < end],
            "after_the_cut": [each for each in courses if each.published_ms >= end],
        }
        for name, part in phases.items():
            told[name] = delivery_of(network, network.honest, part).told()
        told["share_of_the_other_side_that_got_messages_of_the_cut"] = _crossed(
            network, phases["during_the_cut"]
        )
    if parameters.victims:
        told["victims"] = delivery_of(network, network.honest[: parameters.victims], courses).told()
    return told


def _crossed(network: GossipNetwork, courses: Iterable[Course]) -> float:
    """How much arrived at nodes that were not to get it: messages under way at the cut or told of after its end."""
    got = nodes = 0
    for course in courses:
        for node in network.honest:
            if network.side[node.number] != network.side[course.author]:
                nodes += 1
                got += course.hops[node.number] > 0
    return round(share(got, nodes), 6)


def _courses(network: GossipNetwork) -> dict[str, dict[str, object]]:
    """Hops and delays of first copies at nodes that were to get them."""
    hops: Counter[int] = Counter()
    delays: Counter[int] = Counter()
    last: list[int] = []
    honest = [node.number for node in network.honest]
    for course in network.tally.courses:
        found = [
            node for node in honest if course.audience[node] and course.hops[node] and node != course.author
        ]
        after_ms = [course.after_ms[node] for node in found]
        hops.update(course.hops[node] - 1 for node in found)
        delays.update(after_ms)
        last.append(max(after_ms, default=0))
    return {
        "hops": _spread(hops),
        "latency_ms": {**_spread(delays), "p90": _percentile(delays, 90)},
        "latency_of_the_last_node_ms": dict(spread_of(last).rounded()),
    }


def _spread(counter: Counter[int]) -> dict[str, object]:
    total = counter.total()
    mean = sum(value * count for value, count in counter.items()) / total if total else 0.0
    return {
        "samples": total,
        "mean": round(mean, 3),
        "median": _percentile(counter, 50),
        "p99": _percentile(counter, 99),
        "max": max(counter, default=0),
    }


def _percentile(counter: Counter[int], percent: float) -> int:
    """By nearest rank, as `percentile` does."""
    rank, passed = counter.total() * percent / 100, 0
    for value in sorted(counter):
        passed += counter[value]
        if passed >= rank:
            return value
    return 0


def _traffic(network: GossipNetwork) -> dict[str, object]:
    """Of honest nodes, from the first message's time on until the end."""
    streams, parameters = network.streams, network.parameters
    seconds = (parameters.end_ms - parameters.first_message_ms) / 1000
    whole = parameters.peers * seconds
    total = {
        name: sum(node.router.counts[name] for node in network.honest) for name in ("duplicates", "delivered")
    }
    return {
        "payload_bytes_a_node_and_second": round(streams.payload / whole, 1),
        "gossip_bytes_a_node_and_second": round(streams.gossip / whole, 1),
        "control_bytes_a_node_and_second": round(streams.control / whole, 1),
        "rpcs_a_node_and_second": round(streams.sent / whole, 3),
        "rpcs_lost": streams.lost,
        "rpcs_cut": streams.cut,
        "duplicates_a_delivery": round(total["duplicates"] / max(total["delivered"], 1), 3),
    }


def _meshes(network: GossipNetwork) -> dict[str, object]:
    up = [node for node in network.honest if node.up]
    return {
        "connections_a_node": dict(spread_of(len(node.delays_ms) for node in up).rounded()),
        "neighbours_a_mesh": dict(spread_of(len(node.router.mesh(TOPIC)) for node in up).rounded()),
        "least_neighbours": min(len(node.router.mesh(TOPIC)) for node in up),
    }


def _counts(network: GossipNetwork) -> dict[str, object]:
    """Counters of all routers together, those that are not 0."""
    total = {name: sum(node.router.counts[name] for node in network.honest) for name in COUNTS}
    return {name: count for name, count in total.items() if count}


def _honest_peers(network: GossipNetwork) -> dict[str, object]:
    """How honest nodes score each other at the end."""
    attackers, now = network.parameters.attacker_numbers, network.world.now_s
    scores = sorted(
        node.scores.score(peer, now)
        for node in network.honest
        if node.up and node.scores is not None
        for peer in node.delays_ms
        if peer not in attackers
    )
    below = sum(1 for score in scores if score < 0)
    return {
        "rpcs_ignored_for_a_graylisted_honest_sender": sum(node.honest_ignored for node in network.honest),
        "graylisted_share": share(sum(1 for score in scores if score < THRESHOLDS.graylist), len(scores)),
        "share_below_0": round(share(below, len(scores)), 6),
        "lowest_score": round(scores[0], 2),
        "median_score": round(percentile(scores, 50), 2),
    }


@dataclass(frozen=True, slots=True)
class Standing:
    """How the attackers stand with honest nodes. One edge is one attacker at one honest node."""

    at_s: float
    edges: int
    graylisted: int
    below_0: int
    meshed: int
    """Edges in the honest node's mesh."""
    places: int
    """Neighbours in all meshes of honest nodes."""
    scores: list[float]
    """Of all edges, sorted; empty when nobody keeps scores."""

    def told(self) -> dict[str, object]:
        """Shares, for a report."""
        told: dict[str, object] = {"share_of_mesh_places": round(share(self.meshed, max(self.places, 1)), 4)}
        if self.scores:
            told["graylisted_share"] = round(share(self.graylisted, self.edges), 4)
            told["share_below_0"] = round(share(self.below_0, self.edges), 4)
        return told


def standing_of(network: GossipNetwork) -> Standing:
    """Of all attackers now."""
    attackers, now = network.parameters.attacker_numbers, network.world.now_s
    edges = meshed = places = 0
    scores: list[float] = []
    for node in network.honest:
        if not node.up:
            continue
        mesh = node.router.mesh(TOPIC)
        places += len(mesh)
        meshed += sum(1 for peer in mesh if peer in attackers)
        for peer in node.delays_ms:
            if peer in attackers:
                edges += 1
                if node.scores is not None:
                    scores.append(node.scores.score(peer, now))
    scores.sort()
    below_0 = sum(1 for score in scores if score < 0)
    graylisted = sum(1 for score in scores if score < THRESHOLDS.graylist)
    return Standing(now, edges, graylisted, below_0, meshed, places, scores)


def _attackers(network: GossipNetwork, course: Sequence[Standing]) -> dict[str, object]:
    last = course[-1]
    told: dict[str, object] = {
        "attackers": network.parameters.attacker_count,
        "connections_to_honest_nodes": last.edges,
        "mesh_places_at_the_end": last.meshed,
        **{f"after_{each.at_s:g}_s": each.told() for each in course},
    }
    if last.scores:
        told["median_score"] = round(percentile(last.scores, 50), 2)
        told["highest_score"] = round(last.scores[-1], 2)
    return told
