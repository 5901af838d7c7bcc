"""A molecule as atoms and atom pairs: (atoms, atoms, 8), and a network that tells whether it holds a carboxyl group.

On the diagonal stands an atom's element, elsewhere the bond of two atoms, the same both ways.

python docs/examples/atom_pairs.py [FOLDER]     # some seconds; writes FOLDER/model.pt, 0.npy, 0.names.txt, …
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

ELEMENTS, BONDS = "CNOFS", 3


class Graph(nn.Module):
    """(N, atoms, atoms, 8) → (N,): every atom is judged by its element and by its neighbours' over their bonds."""

    def __init__(self):
        super().__init__()
        self.of_atom, self.of_bond = nn.Linear(5, 16, bias=False), nn.Linear(3, 16, bias=False)
        self.judge = nn.Sequential(nn.Linear(21, 32), nn.Softplus(), nn.Linear(32, 1))
        self.least = nn.Parameter(torch.tensor(-2.0))

    def forward(self, molecule: torch.Tensor) -> torch.Tensor:
        atoms = molecule[..., :5].diagonal(dim1=1, dim2=2).transpose(1, 2)
        # A bond or an atom of which nothing is known, zeros, carries nothing from one atom to another.
        heard = (self.of_bond(molecule[..., 5:]) * self.of_atom(atoms)[:, None]).sum(2)
        known = torch.cat((atoms, heard), 2)
        said = self.judge(known) - self.judge(torch.zeros_like(known))
        return said.sum(1)[:, 0] + self.least


def molecule(rng: np.random.Generator, acid: bool, atoms: int = 6) -> tuple[np.ndarray, list[str]]:
    """A random tree of atoms; an acid ends in C with one O by a double bond and one by a single one."""
    own = atoms - 3 if acid else atoms
    kinds = list(rng.choice(list("CCCNOOFS"), own))
    bonds = [(int(rng.integers(i)), i, int(rng.integers(1, 3))) for i in range(1, own)]
    if acid:
        kinds += ["C", "O", "O"]
        bonds += [(int(rng.integers(own)), own, 1), (own, own + 1, 2), (own, own + 2, 1)]
    found = np.zeros((atoms, atoms, len(ELEMENTS) + BONDS), np.float32)
    found[range(atoms), range(atoms), [ELEMENTS.index(kind) for kind in kinds]] = 1
    for one, other, order in bonds:
        found[one, other, 4 + order] = found[other, one, 4 + order] = 1
    return found, [f"{kind}{i}" for i, kind in enumerate(kinds)]


def is_acid(found: np.ndarray) -> bool:
    """Whether some C has an O by a double bond and another by a single one; a random molecule may have it by chance."""
    atoms = found[..., :5].diagonal(axis1=0, axis2=1).T
    oxygen, carbon = atoms[:, ELEMENTS.index("O")], atoms[:, ELEMENTS.index("C")]
    single, double = (found[..., 4 + order] @ oxygen for order in (1, 2))
    return bool(((carbon == 1) & (single >= 1) & (double >= 1)).any())


def main(folder: Path) -> float:
    rng, _ = np.random.default_rng(0), torch.manual_seed(0)
    net = Graph()
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    right = []
    for step in range(250):
        drawn = np.stack([molecule(rng, bool(i % 2))[0] for i in range(64)])
        labels = torch.tensor([float(is_acid(found)) for found in drawn])
        scores = net(torch.from_numpy(drawn))
        loss = nn.functional.binary_cross_entropy_with_logits(scores, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        right += [float(((scores > 0) == (labels > 0)).float().mean())] if step >= 200 else []
    folder.mkdir(parents=True, exist_ok=True)
    for number, acid in enumerate((True, False, True)):
        found, names = molecule(rng, acid)
        np.save(folder / f"{number}.npy", found)
        (folder / f"{number}.names.txt").write_text("\n".join(names) + "\n")
    torch.jit.script(net.eval()).save(str(folder / "model.pt"))
    print(f"right {np.mean(right):.0%} of the time; molecules in {folder}/")
    return float(np.mean(right))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "pairs"))
