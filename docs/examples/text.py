"""A sentence as an array: (words, 16) embeddings, a small network that reads them, and one file for each sentence.

python docs/examples/text.py [FOLDER]     # some seconds; writes FOLDER/model.pt, 0.npy, 0.names.txt, …
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

GOOD, BAD = ["good", "great", "funny", "clever", "moving", "fine"], ["bad", "awful", "boring", "silly", "weak", "poor"]
FILLERS = ["the", "a", "film", "plot", "cast", "was", "is", "and", "with", "its", "very", "all", "of", "story", "end"]
WORDS = [*GOOD, *BAD, *FILLERS, "not"]
SENTENCES = (
    "the film was not good",
    "a very clever plot with a weak end",
    "its cast is not awful and the story is moving",
)


class Reader(nn.Module):
    """(N, words, 16) → (N, 2): negative, positive. A convolution sees each word with its neighbours."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv1d(16, 32, 3, padding=1)
        self.score = nn.Linear(32, 2)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.score(torch.tanh(self.look(embeddings.transpose(1, 2))).sum(2))


def mood(words: list[str]) -> int:
    """Good words count 1 and bad ones -1; "not" turns the next word round."""
    sign = [(word in GOOD) - (word in BAD) for word in words]
    return sum(-s if i and words[i - 1] == "not" else s for i, s in enumerate(sign))


def main(folder: Path) -> float:
    rng, _ = np.random.default_rng(0), torch.manual_seed(0)
    table, reader = nn.Embedding(len(WORDS), 16), Reader()
    optimiser = torch.optim.Adam([*table.parameters(), *reader.parameters()], 0.01)
    right = []
    for step in range(500):
        texts = [list(rng.choice([*WORDS, *["not"] * 6], 8)) for _ in range(64)]
        labels = torch.tensor([int(mood(text) > 0) for text in texts])
        x = table(torch.tensor([[WORDS.index(word) for word in text] for text in texts]))
        x = x * (torch.rand(64, 8, 1) > 0.15)  # an absent word is a row of zeros: the network must have seen some
        scores = reader(x)
        loss = nn.functional.cross_entropy(scores, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        right += [float((scores.argmax(1) == labels).float().mean())] if step >= 450 else []
    folder.mkdir(parents=True, exist_ok=True)
    for number, sentence in enumerate(SENTENCES):
        words = sentence.split()
        rows = table(torch.tensor([WORDS.index(word) for word in words]))
        np.save(folder / f"{number}.npy", rows.detach().numpy())
        (folder / f"{number}.names.txt").write_text("\n".join(words) + "\n")
    (folder / "classes.txt").write_text("negative\npositive\n")
    torch.jit.script(reader.eval()).save(str(folder / "model.pt"))
    print(f"right {np.mean(right):.0%} of the time (one word in seven is left out); sentences in {folder}/")
    return float(np.mean(right))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "text"))
