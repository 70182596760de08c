"""Rows come back from readable updates, and not from masked ones; and what sums tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message
from scipy.stats import ks_2samp
from test_training_rounds import thirds, write_study

from bench.federation import roster_of
from bench.inversion import invert, invert_lone, likeness, moved_classes, public_mean, recognized
from bench.inversion_scene import (
    VICTIM,
    VICTIM_ROWS,
    Floats,
    Indices,
    Seen,
    deal,
    deal_lone,
    digits,
    random_guesses,
    watch,
)
from blindfit.averaging import Averaging
from blindfit.dataset import load
from blindfit.estimators import get_parameters, initial_parameters, unflatten
from blindfit.federation_messages import read_instruction
from blindfit.secagg.masks import Words
from blindfit.study import load_study
from client_app.training import fit_local
from server_app.in_process import InProcessGrid, conduct_in_process
from server_app.run_folder import RunFolder

DEALS = 6
ROUNDS, GUESSES = 40, 2_000
FALSE_ALARM = 1e-8


def attack(seen: Seen, words: Words, indices: Indices) -> Floats:
    """Rows from words; the attacker is told how many rows of which classes the victim has."""
    _, y = digits()
    return invert(seen.coefficients(words), y[indices])


def success(seen: Seen, inputs: Sequence[Words], indices: Indices) -> Floats:
    """The mean correlation with the victim's rows, for each of ``inputs``."""
    X, _ = digits()
    return np.array([likeness(attack(seen, w, indices), X[indices]).mean() for w in inputs])


# -- a readable update ------------------------------------------------------------------------


@pytest.mark.parametrize("iterations", [1, 20])  # 20 are those of examples/digits
def test_rows_are_recovered_from_readable_updates(tmp_path: Path, iterations: int) -> None:
    X, y = digits()
    alike, found = [], []
    for seed in range(DEALS):
        parts = deal(2, seed)
        rows = parts[VICTIM]
        seen = watch(tmp_path / f"{seed}", parts, secure=False, iterations=iterations)
        update = seen.coefficients(seen.inputs[0])
        assert moved_classes(update).tolist() == y[rows].tolist()  # the update tells the labels
        recovered = invert(update, moved_classes(update))
        alike.append(likeness(recovered, X[rows]))
        found.append(recognized(recovered, rows))
    assert np.mean(alike) > 0.92
    assert np.mean(np.array(alike) > 0.9) > 0.75
    # Digits are like each other; but of 1,797 images the true one is the most alike.
    assert np.mean(found) > 0.9


def test_a_readable_update_tells_the_number_of_rows(tmp_path: Path) -> None:
    seen = watch(tmp_path / "readable", deal(2), secure=False)
    assert Averaging(seen.study, seen.addends).codec.decode(seen.inputs[0])[0] == VICTIM_ROWS


# -- a masked update --------------------------------------------------------------------------


@pytest.mark.slow  # 40 rounds of three participants
def test_nothing_is_recovered_from_masked_updates(tmp_path: Path) -> None:
    parts = deal(3)
    rows = parts[VICTIM]
    seen = watch(tmp_path / "secure", parts, secure=True, rounds=ROUNDS)
    assert len(seen.inputs) == ROUNDS
    masked = success(seen, seen.inputs, rows)
    guessed = success(seen, random_guesses(seen, GUESSES), rows)

    assert abs(masked.mean() - guessed.mean()) < 6 * guessed.std() / np.sqrt(ROUNDS)
    assert ks_2samp(masked, guessed).pvalue > FALSE_ALARM
    assert masked.max() < guessed.mean() + 7 * guessed.std()
    # The same input in every round does not help: the mean of its masked words is a guess, too.
    mean = np.mean([seen.coefficients(words) for words in seen.inputs], axis=0)
    X, y = digits()
    together = likeness(invert(mean, y[rows]), X[rows]).mean()
    assert abs(together - guessed.mean()) < 7 * guessed.std()


def test_the_same_attack_on_one_masked_update_recognizes_nobody(tmp_path: Path) -> None:
    parts = deal(3)
    rows = parts[VICTIM]
    readable = watch(tmp_path / "readable", parts, secure=False)
    secure = watch(tmp_path / "secure", parts, secure=True)
    guessed = success(secure, random_guesses(secure, GUESSES), rows)
    bound = guessed.mean() + 7 * guessed.std()
    assert success(secure, secure.inputs, rows)[0] < bound < 0.4
    assert success(readable, readable.inputs, rows)[0] > 0.85
    # By chance one of eight is recognized in one of 220 runs, and two in one of 100,000.
    assert recognized(attack(secure, secure.inputs[0], rows), rows).sum() < 3
    np.testing.assert_allclose(readable.mean, secure.mean, atol=1e-4)  # the same training


# -- a sum, which the coordinator does learn --------------------------------------------------


@pytest.mark.slow  # two rounds of ten participants, twice
def test_a_sum_of_ten_tells_less_of_a_row_than_the_mean_of_its_class(tmp_path: Path) -> None:
    X, y = digits()
    alike, found, stranger = [], [], []
    for seed in range(2):
        parts = deal(10, seed)
        rows = parts[VICTIM]
        mean = watch(tmp_path / f"{seed}", parts, secure=True).mean
        recovered = invert(mean, y[rows])
        alike.append(likeness(recovered, X[rows]).mean())
        found.extend(recognized(recovered, rows))
        means = np.stack([X[y == label].mean(axis=0) for label in y[rows]])
        stranger.append(likeness(means, X[rows]).mean())
    assert np.mean(alike) < np.mean(stranger)
    assert sum(found) <= 2  # of 16


def test_a_row_that_is_alone_in_its_class_is_recovered_from_a_sum_of_ten(tmp_path: Path) -> None:
    """A limit: secure aggregation hides whose row it is; only [privacy.records] hides the row."""
    X, y = digits()
    parts, label = deal_lone(10, 100)
    mean = watch(tmp_path / "lone", parts, secure=True).mean
    row = parts[VICTIM][y[parts[VICTIM]] == label]
    public = public_mean(np.concatenate(list(parts.values())))
    recovered = invert_lone(mean, label, public)[np.newaxis]
    assert likeness(recovered, X[row])[0] > 0.9
    assert recognized(recovered, row).all()


class OneLeavesGrid(InProcessGrid):
    """The second node's input of round 2 gets lost; ``first`` is the mean of round 1."""

    first: Floats

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        messages = list(messages)
        for message in messages:
            if _is_input_of(message, 2):  # the mean of the round before goes out with it
                self.first = read_instruction(message.content).parameters
        return super().push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = super().pull_messages(message_ids)
        return [r for r in replies if not (_is_input_of(r, 2) and r.metadata.src_node_id == 2)]


def _is_input_of(message: Message, number: int) -> bool:
    about = message.metadata
    return (about.message_type, about.group_id) == ("train.masked", str(number))


def test_two_sums_that_differ_by_a_participant_tell_its_update(tmp_path: Path) -> None:
    """A limit: each sum is secure, and their difference is what one participant sent.

    A fit in closed form is the same in every round, so a participant that drops out once is enough,
    at a coordinator that follows all rules.
    """
    study = write_study(tmp_path, "Ridge", rounds=2)
    contract, joined = load_study(study), thirds(tmp_path, study, "Ridge")
    run = RunFolder.create(tmp_path / "run", contract, roster_of(joined))
    grid = OneLeavesGrid([one.app for one in joined])
    conduct_in_process(run, grid)

    rows = [line["rows"] for line in run.history()]
    second = get_parameters(run.model())
    berta = load(contract, tmp_path / "berta.npz")
    sent = fit_local(contract, initial_parameters(contract), berta.X, berta.y, seed=1)
    assert rows[0] - rows[1] == len(berta.X)
    for before, after, own in zip(unflatten(contract, grid.first), second, sent, strict=True):
        recovered = (rows[0] * before - rows[1] * after) / (rows[0] - rows[1])
        np.testing.assert_allclose(recovered, own, atol=1e-4)
