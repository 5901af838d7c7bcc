"""The game: an agent on an H×W grid, whose players are the (cell, action) pairs it may use, each once.

[SIG] Experiments, "Simulation of Shapley Value", and appendix. v(S) is the best total reward over all orders in which the
agent can use the pairs of S; it must act while its cell offers an unused pair. All 2^n values come from one dynamic
programme.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from ..errors import UsageError
from .rewards import Cell, Reward, Step, checked

ACTIONS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1), "stay": (0, 0)}
LARGEST = 20


@dataclass(frozen=True)
class Pair:
    """A player: an action in a cell."""

    cell: Cell
    action: str
    to: Cell

    def __str__(self) -> str:
        return f"{self.cell[0]},{self.cell[1]} {self.action}"


@dataclass(frozen=True)
class World:
    """An H×W grid; the agent starts on the first cell and is meant to reach the last.

    Raises:
        UsageError: fewer than 2 cells, or more than 20 players.

    >>> World(2, 2).n, World(2, 3).n
    (12, 20)
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1 or self.height * self.width < 2:
            raise UsageError("a grid needs at least two cells", given=self.name)
        if self.n > LARGEST:
            raise UsageError(
                f"a {self.name} grid has {self.n} players, and 2^{self.n} coalitions are too many",
                allowed=f"at most {LARGEST} players: 2x2, 2x3, 1x7 and smaller",
            )

    @staticmethod
    def parse(text: str) -> World:
        """From a text like 2x3 (rows x columns)."""
        rows, _, columns = text.partition("x")
        if not (rows.isdecimal() and columns.isdecimal()):
            raise UsageError("unknown grid", given=text, allowed="rows x columns, for example 2x2 or 2x3")
        return World(int(rows), int(columns))

    @property
    def name(self) -> str:
        """Rows x columns."""
        return f"{self.height}x{self.width}"

    @property
    def start(self) -> Cell:
        """The first cell."""
        return (0, 0)

    @property
    def end(self) -> Cell:
        """The last cell."""
        return (self.height - 1, self.width - 1)

    @property
    def players(self) -> tuple[Pair, ...]:
        """The pairs whose move stays on the grid, by row, column and action; staying counts as an action."""
        found = []
        for row in range(self.height):
            for column in range(self.width):
                for action, (down, right) in ACTIONS.items():
                    to = (row + down, column + right)
                    if 0 <= to[0] < self.height and 0 <= to[1] < self.width:
                        found.append(Pair((row, column), action, to))
        return tuple(found)

    @property
    def n(self) -> int:
        """Number of players."""
        h, w = self.height, self.width
        return h * w + 2 * (h * (w - 1) + w * (h - 1))


State = tuple[Cell, bool]


@dataclass(frozen=True)
class _Move:
    player: int
    reward: float
    then: State


def _moves(world: World, reward: Reward) -> dict[State, list[_Move]]:
    """The steps offered in each state that the agent can be in; states from which no step is offered are left out."""
    found: dict[State, list[_Move]] = {}
    open_states: list[State] = [(world.start, False)]
    while open_states:
        state = open_states.pop()
        if state in found:
            continue
        cell, arrived = state
        found[state] = []
        for player, pair in enumerate(world.players):
            if pair.cell != cell:
                continue
            value = checked(reward, Step(cell, pair.action, pair.to, world.end, arrived))
            if value is not None:
                then = (pair.to, arrived or pair.to == world.end)
                found[state].append(_Move(player, value, then))
                open_states.append(then)
    return {state: moves for state, moves in found.items() if moves}


def value_table(world: World, reward: Reward) -> Float64[np.ndarray, " k"]:
    """V of all 2^n coalitions, (2^n,); player i belongs to coalition S where bit i of the index is set.

    One value per state (cell, arrived) and coalition of unused pairs, by coalition size: a step from S leads to S without
    its pair, which is one smaller.

    Raises:
        UsageError: a reward that is not a finite number or None.
    """
    n = world.n
    moves = _moves(world, reward)
    codes = np.arange(2**n, dtype=np.uint32)
    by_size = np.argsort(np.bitwise_count(codes), kind="stable").astype(np.uint32)
    edges = np.concatenate([[0], np.cumsum(np.bincount(np.bitwise_count(codes), minlength=n + 1))])
    best = {state: np.zeros(2**n) for state in moves}
    for size in range(1, n + 1):
        level = by_size[edges[size] : edges[size + 1]]
        unused = {bit: (level >> np.uint32(bit) & 1).astype(bool) for bit in range(n)}
        for state, offered in moves.items():
            found = np.full(len(level), -np.inf)
            for move in offered:
                rows = unused[move.player]
                after = best.get(move.then)
                rest = 0.0 if after is None else after[level[rows] ^ np.uint32(1 << move.player)]
                found[rows] = np.maximum(found[rows], move.reward + rest)
            best[state][level] = np.where(np.isinf(found), 0.0, found)
    return best.get((world.start, False), np.zeros(2**n))
