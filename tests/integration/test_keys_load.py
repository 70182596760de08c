"""Keys rotate while clients predict without a pause: no prediction fails, none is wrong."""

from __future__ import annotations

import pytest

from bench.keys_load import rotate_under_load

pytestmark = pytest.mark.slow


def test_no_prediction_fails_or_is_wrong_while_keys_rotate(tmp_path):
    load = rotate_under_load(tmp_path, rotations=3, clients=2)
    assert load.rotations == 3
    assert load.predictions > 3 * 2 * 40  # each client a table at least with each key
    assert (load.failed, load.wrong) == (0, 0)
