"""The state machine of evaluation keys, as a table."""

from __future__ import annotations

import itertools

import pytest

from blindfit.errors import KeyStateError
from server_app.key_states import REFUSED, TRANSITIONS, check_transition

ALLOWED = {
    ("UPLOADING", "STAGED"),
    ("UPLOADING", "REVOKED"),
    ("STAGED", "ACTIVE"),
    ("STAGED", "REVOKED"),
    ("ACTIVE", "RETIRING"),
    ("ACTIVE", "REVOKED"),
    ("RETIRING", "REVOKED"),
    ("REVOKED", "DELETED"),
}


@pytest.mark.parametrize(("old", "new"), itertools.product(TRANSITIONS, repeat=2))
def test_only_the_listed_transitions_are_allowed(old, new):
    if (old, new) in ALLOWED:
        check_transition("ab" * 32, old, new)
    else:
        with pytest.raises(KeyStateError, match=f"is {old} and cannot become {new}"):
            check_transition("ab" * 32, old, new)


def test_what_is_refused_never_comes_back():
    for state in REFUSED:
        assert TRANSITIONS[state] <= REFUSED
