"""How often a SuperNode asks for messages."""

from __future__ import annotations

import inspect
import re

from flwr.supernode import start_client_internal as loop

from client_app.supernode import ACTIVE_SECONDS, RARELY, SOON, Clock

IDLE, REPLY = 3, 0.5  # what Flower's loop sleeps


def test_questions_are_frequent_while_a_training_goes_on_and_rare_otherwise():
    clock = Clock()
    assert clock.pause(IDLE, 1000.0) == RARELY
    assert clock.pause(REPLY, 1000.0) < REPLY
    assert clock.pause(IDLE, 1000.0 + ACTIVE_SECONDS - 1) == SOON
    assert clock.pause(IDLE, 1000.0 + ACTIVE_SECONDS + 1) == RARELY


def test_flowers_loop_uses_nothing_else_of_its_clock():
    source = inspect.getsource(loop)
    used = set(re.findall(r"\btime\.(\w+)\(", source))
    assert used == {"sleep"}
    assert f"time.sleep({IDLE})" in source
