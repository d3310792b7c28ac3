"""Many nodes that measured the same cells: the speeds of each kind, and the nodes unlike theirs.

A *kind* is a processor with so much of it used; nodes of a kind should be alike. A node's *factor*
is how fast it is beside its kind: the median, over its cells, of its speed over that of the median
node. Pure functions of columns of numbers, a row for each cell of each node, so that a million
records are some ten megabytes here.
"""

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.analysis.contests import Contest
from bench.analysis.hardware import SHARED, Hardware, hardware, speeds
from bench.analysis.statistics import estimate
from bench.cells import Cell

LEAST = 3  # nodes of a kind, for one of them to be unlike the others
UNLIKE = 0.03  # a node within 3 % of its kind is as good as any
DEVIATIONS = 5.0  # of its kind that a node must be away: by chance one of a million is
SCALED = 1.4826  # a median deviation times this estimates a standard deviation

Kind = tuple[str, str, int | None]  # processor, device, threads
Row = tuple[Cell, str]  # a cell that asks a question, and the label of the contender


@dataclass(frozen=True)
class Spread:
    """Speeds of the nodes of a kind, in images/s; of training to a target, 1 / seconds."""

    nodes: int
    median: float
    low: float  # the 5th percentile of the nodes
    high: float  # and the 95th


@dataclass(frozen=True)
class Node:
    """One node beside the others of its kind."""

    on: Hardware
    factor: float  # of its speed: 0.9 is 10 % slower
    cells: int  # that tell
    unlike: bool  # beyond what its kind's scatter explains


@dataclass(frozen=True)
class Odd:
    """A cell that is unlike on one node, that node's own factor apart."""

    on: Hardware
    row: Row
    factor: float


class Fleet:
    """The speed of each cell of each node."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Any, ...], int] = {}  # question and contender
        self.shown: list[Row] = []  # of each, an example
        self.nodes: dict[Hardware, int] = {}
        self.of_row, self.on_node, self.speed = array("I"), array("I"), array("d")

    def add(self, contest: Contest) -> None:
        """Take in the cells of a contest that have a speed."""
        node = self.nodes.setdefault(hardware(contest), len(self.nodes))
        question = tuple(getattr(contest.cell, name) for name in SHARED)
        for summary in contest.ranked:
            if found := estimate(speeds(summary)):
                key = (*question, summary.cell.label)
                if key not in self.rows:
                    self.rows[key] = len(self.rows)
                    self.shown.append((summary.cell, summary.cell.label))
                self.of_row.append(self.rows[key])
                self.on_node.append(node)
                self.speed.append(found.value)

    @property
    def kinds(self) -> dict[Kind, int]:
        """The kinds of nodes, and how many nodes each has; the largest first."""
        counts: dict[Kind, int] = {}
        for node in self.nodes:
            counts[_kind(node)] = counts.get(_kind(node), 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def matrix(self, most: int) -> Iterator[tuple[Row, dict[Kind, Spread]]]:
        """The first contenders of the first questions, so many: the speeds of each on each kind of
        nodes that has it.
        """
        kinds, columns = list(self.kinds), self._columns()
        found: dict[int, dict[Kind, Spread]] = {}
        first = np.flatnonzero(columns.row < most)
        for (row, kind), members in _groups(columns.row[first], columns.kind[first]):
            low, median, high = np.percentile(columns.speed[first[members]], (5, 50, 95))
            spread = Spread(len(members), float(median), float(low), float(high))
            found.setdefault(row, {})[kinds[kind]] = spread
        for row in sorted(found):
            yield self.shown[row], found[row]

    def compared(self) -> tuple[list[Node], list[Odd]]:
        """All nodes of kinds that have LEAST, the slowest first; and the cells that are unlike."""
        columns = self._columns()
        logs = np.log(columns.speed)
        apart = np.full(len(logs), np.nan)  # from the median node, as a logarithm
        for _, members in _groups(columns.row, columns.kind):
            if len(members) >= LEAST:
                apart[members] = logs[members] - np.median(logs[members])
        known = np.flatnonzero(~np.isnan(apart))
        factors: dict[int, tuple[float, int]] = {}
        for (node,), members in _groups(columns.node[known]):
            own = apart[known[members]]
            factors[node] = float(np.median(own)), len(own)
            apart[known[members]] -= factors[node][0]
        return self._nodes(factors), self._odd(columns, known, apart)

    def _nodes(self, factors: dict[int, tuple[float, int]]) -> list[Node]:
        nodes = list(self.nodes)
        of_kind: dict[Kind, list[float]] = {}
        for node, (factor, _) in factors.items():
            of_kind.setdefault(_kind(nodes[node]), []).append(factor)
        limits = {kind: _limit(np.asarray(each)) for kind, each in of_kind.items()}
        return [
            Node(nodes[n], math.exp(log), cells, bool(abs(log) > limits[_kind(nodes[n])]))
            for n, (log, cells) in sorted(factors.items(), key=lambda item: item[1])
        ]

    def _odd(self, columns: "_Columns", known: Any, apart: Any) -> list[Odd]:
        nodes, found = list(self.nodes), []
        for (row, _), members in _groups(columns.row[known], columns.kind[known]):
            own = known[members]
            for at in own[np.abs(apart[own]) > _limit(apart[own])]:
                on, factor = nodes[columns.node[at]], math.exp(apart[at])
                found.append(Odd(on, self.shown[row], factor))
        return sorted(found, key=lambda odd: -abs(math.log(odd.factor)))

    def _columns(self) -> "_Columns":
        kinds = {kind: number for number, kind in enumerate(self.kinds)}
        of_node = np.asarray([kinds[_kind(node)] for node in self.nodes], np.uint32)
        node = np.asarray(self.on_node, np.uint32)
        row, speed = np.asarray(self.of_row, np.uint32), np.asarray(self.speed, float)
        return _Columns(row, node, of_node[node] if len(node) else node, speed)


@dataclass(frozen=True)
class _Columns:
    """All of one length, a cell of a node each."""

    row: Any
    node: Any
    kind: Any
    speed: Any


def _kind(node: Hardware) -> Kind:
    return node.processor, node.device, node.threads


def _limit(apart: Any) -> float:
    """How far a logarithm may be from 0 where so many scatter so."""
    deviation = SCALED * float(np.median(np.abs(apart - np.median(apart))))
    return max(DEVIATIONS * deviation, math.log1p(UNLIKE))


def _groups(*columns: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """The places at which all columns are alike, for each combination of values there is."""
    if not len(columns[0]):
        return
    order = np.lexsort(columns[::-1])
    ordered = [column[order] for column in columns]
    begins = np.flatnonzero(np.any([each[1:] != each[:-1] for each in ordered], axis=0)) + 1
    for members in np.split(order, begins):
        yield tuple(int(column[members[0]]) for column in columns), members
