import os
import struct

import pytest

from blindfit.errors import CiphertextError
from blindfit.frame import Frame

HEAD = struct.pack("<4Q", 1, 2, 3, 4)
TAIL = struct.pack("<2Q", 5, 6)


def _message() -> bytes:
    return HEAD + os.urandom(64) + TAIL


@pytest.fixture
def frame() -> Frame:
    return Frame.measure([_message(), _message()])


def test_every_message_with_the_same_frame_passes(frame):
    assert [(run.offset, len(run.content) // 2) for run in frame.fixed] == [(0, 32), (96, 16)]
    for _ in range(20):
        frame.check(_message())


@pytest.mark.parametrize("offset", [*range(0, 32), *range(96, 112)])
def test_every_changed_byte_of_the_frame_is_refused(frame, offset):
    message = bytearray(_message())
    message[offset] ^= 1
    with pytest.raises(CiphertextError, match="format"):
        frame.check(bytes(message))


@pytest.mark.parametrize("change", [lambda m: m[:-1], lambda m: m + b"\0", lambda m: b""])
def test_another_length_is_refused(frame, change):
    with pytest.raises(CiphertextError, match="bytes; this circuit takes 112"):
        frame.check(change(_message()))


def test_a_frame_survives_the_manifest(frame):
    assert Frame.model_validate_json(frame.model_dump_json()) == frame


def test_one_sample_is_no_measurement():
    with pytest.raises(ValueError, match="two or more"):
        Frame.measure([_message()])
