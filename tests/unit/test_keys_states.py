from __future__ import annotations

import pytest

from blindfit.errors import KeyStateError
from keys.states import TRANSITIONS, KeyState, require_secret, require_transition

ALLOWED = {
    "PRE_ACTIVE": "ACTIVE DEACTIVATED COMPROMISED DESTROY_SCHEDULED DESTROYED",
    "ACTIVE": "DEACTIVATED SUSPENDED COMPROMISED",
    "SUSPENDED": "ACTIVE DEACTIVATED COMPROMISED",
    "DEACTIVATED": "COMPROMISED DESTROY_SCHEDULED DESTROYED",
    "COMPROMISED": "DESTROY_SCHEDULED DESTROYED",
    "DESTROY_SCHEDULED": "DEACTIVATED COMPROMISED DESTROYED",
    "DESTROYED": "",
}


@pytest.mark.parametrize("current", KeyState)
@pytest.mark.parametrize("wanted", KeyState)
def test_only_the_transitions_of_the_table_are_allowed(current, wanted):
    if str(wanted) in ALLOWED[current].split():
        require_transition("ab" * 32, current, wanted)
    else:
        with pytest.raises(KeyStateError) as caught:
            require_transition("ab" * 32, current, wanted)
        for state in ALLOWED[current].split():
            assert state in caught.value.hint


def test_every_state_has_its_transitions():
    assert set(TRANSITIONS) == set(KeyState)


def test_only_destroyed_keys_have_no_secret():
    for state in set(KeyState) - {KeyState.DESTROYED}:
        require_secret("ab" * 32, state)
    with pytest.raises(KeyStateError, match="destroyed"):
        require_secret("ab" * 32, KeyState.DESTROYED)
