"""Write an example's rows as CSV files: one for each participant, and one to predict.

    python examples/prepare.py digits build/digits --participants 3

gives ``participant-1.csv`` to ``participant-3.csv``, ``test.csv`` with the target and ``rows.csv``
without. The split is random but fixed.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

_TEST_SHARE = 0.25


def digits() -> pd.DataFrame:
    """1,797 images of 64 pixels from 0 to 16."""
    X, y = datasets.load_digits(return_X_y=True)
    table = pd.DataFrame(X.astype(int), columns=[f"pixel{i}" for i in range(64)])
    return table.assign(label=y)


def health() -> pd.DataFrame:
    """569 tumours, 30 measurements."""
    data = datasets.load_breast_cancer()
    table = pd.DataFrame(data.data, columns=list(data.feature_names))
    return table.assign(diagnosis=data.target)


def diabetes() -> pd.DataFrame:
    """442 patients, 10 measurements."""
    data = datasets.load_diabetes(scaled=False)
    table = pd.DataFrame(data.data, columns=list(data.feature_names))
    return table.astype({"sex": int}).assign(progression=data.target)


def spam() -> pd.DataFrame:
    """600 made-up messages."""
    generator = random.Random(7)  # noqa: S311 - no secret
    words = {
        "spam": "free prize winner cash claim now offer credit loan urgent click bonus".split(),
        "ham": "meeting lunch report tomorrow thanks project call home family dinner".split(),
    }
    shared = "the a to you your for is on today please we have it and".split()
    rows = []
    for index in range(600):
        label = "spam" if index % 3 == 0 else "ham"
        text = generator.choices(words[label], k=4) + generator.choices(shared, k=5)
        if generator.random() < 0.3:  # some words of the other kind: not too easy
            text += generator.choices(words["ham" if label == "spam" else "spam"], k=2)
        generator.shuffle(text)
        rows.append({"message": " ".join(text), "label": label})
    return pd.DataFrame(rows)


EXAMPLES = {"digits": digits, "health": health, "diabetes": diabetes, "spam": spam}


def write_example(name: str, folder: Path, participants: int) -> None:
    """Write the files of an example into ``folder``."""
    table = EXAMPLES[name]()
    table = table.sample(frac=1.0, random_state=0).reset_index(drop=True)
    held_out = int(len(table) * _TEST_SHARE)
    folder.mkdir(parents=True, exist_ok=True)
    test, rest = table[:held_out], table[held_out:]
    test.to_csv(folder / "test.csv", index=False)
    test.iloc[:, :-1].to_csv(folder / "rows.csv", index=False)
    for number, indices in enumerate(np.array_split(np.arange(len(rest)), participants), start=1):
        rest.iloc[indices].to_csv(folder / f"participant-{number}.csv", index=False)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("example", choices=sorted(EXAMPLES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--participants", type=int, default=3)
    arguments = parser.parse_args()
    write_example(arguments.example, arguments.folder, arguments.participants)


if __name__ == "__main__":
    main()
