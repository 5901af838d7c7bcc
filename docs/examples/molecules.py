"""A molecule as an array: (atoms, features), and a small network that tells whether it holds a nitro group, N with two O.

python docs/examples/molecules.py [FOLDER]     # some seconds; writes FOLDER/model.pt, 0.npy, 0.names.txt, …
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

ELEMENTS = "CNOFS"


class Atoms(nn.Module):
    """(N, atoms, 10) → (N,): every atom is judged by its features and its neighbours', and what they say is added."""

    def __init__(self):
        super().__init__()
        self.judge = nn.Sequential(nn.Linear(10, 32), nn.Softplus(), nn.Linear(32, 1))
        self.least = nn.Parameter(torch.tensor(-2.0))

    def forward(self, atoms: torch.Tensor) -> torch.Tensor:
        # An atom of which nothing is known, a row of zeros, says nothing.
        said = self.judge(atoms) - self.judge(torch.zeros_like(atoms))
        return said.sum(1)[:, 0] + self.least


def molecule(rng: np.random.Generator, nitro: bool) -> tuple[np.ndarray, list[str]]:
    """A random tree of atoms, with a nitro group or without: features (atoms, 10) and names."""
    kinds = list(rng.choice(list("CCCCNOFS"), int(rng.integers(5, 10))))
    bonds = [(int(rng.integers(i)), i) for i in range(1, len(kinds))]
    if nitro:
        start = len(kinds)
        kinds += ["N", "O", "O"]
        bonds += [(int(rng.integers(start)), start), (start, start + 1), (start, start + 2)]
    own = np.eye(len(ELEMENTS))[[ELEMENTS.index(kind) for kind in kinds]]
    near = np.zeros_like(own)
    for one, other in bonds:
        near[one] += own[other]
        near[other] += own[one]
    return np.concatenate([own, near], 1).astype(np.float32), [f"{kind}{i}" for i, kind in enumerate(kinds)]


def has_nitro(atoms: np.ndarray) -> bool:
    """Whether some N has two O beside it; a random molecule may have one by chance."""
    return bool(((atoms[:, ELEMENTS.index("N")] == 1) & (atoms[:, 5 + ELEMENTS.index("O")] >= 2)).any())


def main(folder: Path) -> float:
    rng, _ = np.random.default_rng(0), torch.manual_seed(0)
    net = Atoms()
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    right = []
    for step in range(400):
        drawn = [molecule(rng, bool(i % 2))[0] for i in range(64)]
        labels = torch.tensor([float(has_nitro(atoms)) for atoms in drawn])
        padded = nn.utils.rnn.pad_sequence([torch.from_numpy(atoms) for atoms in drawn], batch_first=True)
        scores = net(padded)
        loss = nn.functional.binary_cross_entropy_with_logits(scores, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        right += [float(((scores > 0) == (labels > 0)).float().mean())] if step >= 350 else []
    folder.mkdir(parents=True, exist_ok=True)
    for number, nitro in enumerate((True, False, True)):
        atoms, names = molecule(rng, nitro)
        np.save(folder / f"{number}.npy", atoms)
        (folder / f"{number}.names.txt").write_text("\n".join(names) + "\n")
    torch.jit.script(net.eval()).save(str(folder / "model.pt"))
    print(f"right {np.mean(right):.0%} of the time; molecules in {folder}/")
    return float(np.mean(right))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "molecules"))
