"""Where our time goes: the time of each stage of a network, for `tools/bench.py --profile`.

There is no timer inside the engine, so a stage is the difference between a network that ends after
it and one that ends before it. Ending early costs a copy of the last layer, so a stage that shares
work with the next one looks dearer than it is, and the next one cheaper; the layers inside a stage
are fused with each other and have no times of their own.
"""

from __future__ import annotations

import time

from minimeso import Graph, Session
from minimeso.networks import NETWORKS
from tools import peers, workers


def stages(graph: Graph) -> list[str]:
    """Nodes at which the network can be cut in two by one wire: pools and linear layers."""
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    cuts = []
    for i, node in enumerate(graph.nodes):
        pending = [n.name for n in graph.nodes[: i + 1] if last_use.get(n.name, -1) > i]
        ends = node.op in ("max_pool2d", "linear") or node.name in graph.outputs
        if ends and pending in ([node.name], []):
            cuts.append(node.name)
    return cuts


def prefix(graph: Graph, end: str) -> Graph:
    """The network up to a node."""
    data = graph.to_json()
    names = [node["name"] for node in data["nodes"]]
    nodes = data["nodes"][: names.index(end) + 1]
    return Graph.from_json(data | {"nodes": nodes, "outputs": [end]}, graph.name)


def profile(case: peers.Case, isa: str, rounds: int) -> dict[str, float]:
    """Milliseconds of each stage of one image, and of all; the best of all rounds, because the
    noise of a median is larger than the small stages.
    """
    graph = NETWORKS[case.architecture](case.activation, peers.EPS, False)
    weights, x = case.weights(), case.images()
    seconds: dict[str, list[float]] = {}
    turns = {}
    for end in stages(graph):
        part = prefix(graph, end)
        kept = {name: weights[name] for name in part.parameters()}
        session = Session(part, kept, threads=case.threads, isa=isa)
        seconds[end] = []

        def turn(session: Session = session, times: list[float] = seconds[end]) -> None:
            session.run(x)
            start = time.perf_counter()
            session.run(x)
            times.append(time.perf_counter() - start)

        turns[end] = turn
    for _ in workers.take_turns(turns, rounds):
        pass
    best = {end: 1e3 * min(times) / case.batch for end, times in seconds.items()}
    before = [0.0, *list(best.values())[:-1]]
    return {
        f"to {end}": value - previous
        for (end, value), previous in zip(best.items(), before, strict=True)
    } | {"all": list(best.values())[-1]}
