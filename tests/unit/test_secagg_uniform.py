"""What the coordinator receives from one participant cannot be told from uniform words.

A thousand rounds with the same input; every statistic below has a known distribution if the words
are uniform and independent. Each raises a false alarm in one of a hundred million runs, and all
that a run of this file takes of fresh words (43, six times) in one of 380,000. How sharp they are
is tested with masks that have a fault.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fixtures_secagg import RUN, STUDY, Session, make_group
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from blindfit.fixed_point import FixedPoint
from blindfit.secagg.masks import Words, self_mask
from blindfit.secagg.round_id import RoundId

ROUNDS, FEW_ROUNDS = 1_000, 60
FALSE_ALARM = 1e-8  # of one statistic
CELLS = 256
EACH = 24  # words of each kind of input

# Inputs that a weak mask would show through: nothing at all, the ends of the range, and an update.
INPUT_KINDS = {
    "zeros": np.zeros(EACH, np.uint64),
    "extremes": np.resize(np.array([(1 << 64) - 1, 1 << 63, (1 << 63) - 1, 1], np.uint64), EACH),
    "update": FixedPoint.for_sums(3, 1e6).encode(np.linspace(-0.5, 0.5, EACH)),
}
INPUT: Words = np.concatenate(list(INPUT_KINDS.values()))
LENGTH = len(INPUT)


def received_in(rounds: int) -> NDArray[np.uint64]:
    """What each of three participants sends in each round: (rounds, 3, words)."""
    group, keys = make_group(3, 2)
    return np.stack([masked_round(Session(group, keys, LENGTH, n)) for n in range(1, rounds + 1)])


def masked_round(session: Session) -> NDArray[np.uint64]:
    session.inputs = [INPUT] * session.group.size
    session.until("confirm")
    return np.stack([session.received[i] for i in sorted(session.received)])


# -- the statistics ---------------------------------------------------------------------------


def byte(words: NDArray[np.uint64], number: int) -> NDArray[np.uint64]:
    """Byte ``number`` of each word, the lowest first."""
    return (words >> np.uint64(8 * number)) & np.uint64(0xFF)


def is_uniform(cells: NDArray[np.uint64]) -> bool:
    """Pearson's chi-square test, on both sides: counts that are too even are no accident either."""
    counts = np.bincount(cells.astype(np.int64).ravel(), minlength=CELLS)
    expected = cells.size / CELLS
    statistic = float(((counts - expected) ** 2).sum() / expected)
    least, most = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], CELLS - 1)
    return bool(least <= statistic <= most)


def are_uncorrelated(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> bool:
    """Whether Pearson's r could be that of independent words."""
    if one.std() == 0 or other.std() == 0:
        return False  # the same word again and again
    r = np.corrcoef(one.ravel().astype(np.float64), other.ravel().astype(np.float64))[0, 1]
    return bool(abs(r) * np.sqrt(one.size) <= norm.isf(FALSE_ALARM / 2))


def judge(received: NDArray[np.uint64]) -> set[str]:
    """What gives words (rounds, LENGTH) away as not uniform."""
    suspects: dict[str, Callable[[], bool]] = {}
    for number in range(8):
        for place, kind in enumerate(INPUT_KINDS):
            part = received[:, place * EACH : (place + 1) * EACH]
            suspects[f"byte {number} of {kind}"] = lambda p=part, n=number: is_uniform(byte(p, n))
        # Differences of independent uniform words are such words again. What two words have in
        # common, a mask or a part of one, is gone from their difference.
        for name, step in (("round", np.diff(received, axis=0)), ("word", np.diff(received))):
            suspects[f"byte {number} from {name} to {name}"] = lambda s=step, n=number: is_uniform(
                byte(s, n)
            )
    ends = (byte(received, 0) & np.uint64(0x0F)) | (byte(received, 7) & np.uint64(0xF0))
    suspects["lowest with highest bits"] = lambda: is_uniform(ends)
    plain = np.broadcast_to(INPUT, received.shape)
    suspects["words with inputs"] = lambda: are_uncorrelated(received, plain)
    suspects["rounds with the next"] = lambda: are_uncorrelated(received[:-1], received[1:])
    return {name for name, passes in suspects.items() if not passes()}


# -- the real masks ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def received() -> NDArray[np.uint64]:
    return received_in(ROUNDS)


@pytest.mark.slow  # 10 s of CPU time, most of it for signatures
def test_a_thousand_masked_inputs_of_a_participant_look_uniform(received):
    for participant in range(3):
        assert judge(received[:, participant]) == set()


@pytest.mark.slow
def test_so_does_their_sum_before_it_is_unmasked(received):
    """Here pairwise masks have cancelled out, and the self masks hold alone."""
    assert judge(received.sum(axis=1)) == set()
    assert judge(received[:, :2].sum(axis=1)) == set()


@pytest.mark.slow
def test_a_thousand_masked_inputs_never_repeat_a_word(received):
    """Expected coincidences among 216,000 uniform words: about 1e-9."""
    assert len(np.unique(received)) == received.size


def test_a_few_masked_inputs_look_uniform():
    assert judge(received_in(FEW_ROUNDS)[:, 0]) == set()


# -- masks with a fault -----------------------------------------------------------------------


def self_masks(rounds: int, length: int = LENGTH, each: int = 1) -> NDArray[np.uint64]:
    """Real self masks (rounds, length); the same seed ``each`` rounds of the same number."""
    masks = [
        self_mask(RoundId(STUDY, RUN, number // each + 1), seed, length)
        for number, seed in ((n, (n // each).to_bytes(16, "big")) for n in range(rounds))
    ]
    return np.stack(masks)


def biased(words: NDArray[np.uint64], bit: int) -> NDArray[np.uint64]:
    """``words`` in which a bit is 1 in 55 of 100 words."""
    more = np.random.default_rng(0).random(words.shape) < 0.10
    return np.where(more, words | np.uint64(1 << bit), words)


def gaussian_noise(rounds: int) -> NDArray[np.uint64]:
    """Noise that spreads over the whole range, as one might add in place of masks."""
    noise = np.random.default_rng(0).normal(0, 2.0**61, (rounds, LENGTH))
    return np.clip(noise, -(2.0**62), 2.0**62).astype(np.int64).astype(np.uint64)


def low_bits(words: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    return words & np.uint64((1 << bits) - 1)


FAULTS: dict[str, tuple[Callable[[], NDArray[np.uint64]], str]] = {
    "no mask": (lambda: np.zeros((ROUNDS, LENGTH), np.uint64), "byte 0 of zeros"),
    "one mask for two rounds": (lambda: self_masks(ROUNDS, each=2), "byte 0 from round to round"),
    "one mask for all rounds": (lambda: self_masks(ROUNDS, each=ROUNDS), "byte 0 of update"),
    "one word for all words": (
        lambda: np.repeat(self_masks(ROUNDS, 1), LENGTH, axis=1),
        "byte 5 from word to word",
    ),
    "32 bits": (lambda: low_bits(self_masks(ROUNDS), 32), "byte 4 of zeros"),
    "63 bits": (lambda: low_bits(self_masks(ROUNDS), 63), "byte 7 of zeros"),
    "a biased bit": (lambda: biased(self_masks(ROUNDS), 13), "byte 1 of zeros"),
    "noise": (lambda: gaussian_noise(ROUNDS), "byte 7 of zeros"),
}


def test_self_masks_alone_look_uniform():
    """The faulty ones below are made of these."""
    assert judge(INPUT + self_masks(ROUNDS)) == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_masks_with_a_fault_are_found(fault):
    masks, sign = FAULTS[fault]
    assert sign in judge(INPUT + masks())


def test_inputs_that_show_through_are_found():
    """Masks that are too short leave the words in the order of the inputs, from round to round."""
    found = judge(INPUT + low_bits(self_masks(ROUNDS), 62))
    assert {"words with inputs", "rounds with the next"} <= found
