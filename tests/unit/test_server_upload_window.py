"""How far a sender of a key runs ahead of what is acknowledged."""

from __future__ import annotations

import os
import threading

from blindfit.upload_window import PIECE_BYTES, WINDOW_BYTES, UploadWindow


def test_no_more_than_the_window_is_sent_before_it_is_acknowledged():
    content = os.urandom(4 * WINDOW_BYTES + 17)
    window = UploadWindow(content, 0)
    sent, acknowledged, most = bytearray(), 0, 0
    arrived = threading.Semaphore(0)

    def send():
        for offset, piece in window:
            assert offset == len(sent)
            sent.extend(piece)
            arrived.release()

    thread = threading.Thread(target=send)
    thread.start()
    while acknowledged < len(content):
        assert arrived.acquire(timeout=10)
        most = max(most, len(sent) - acknowledged)
        acknowledged = min(acknowledged + PIECE_BYTES, len(content))
        window.acknowledge(acknowledged)
    thread.join(10)
    assert bytes(sent) == content
    assert 0 < most <= WINDOW_BYTES < 2_000_000


def test_sending_goes_on_where_the_receiver_is():
    content = os.urandom(PIECE_BYTES)
    assert list(UploadWindow(content, 100)) == [(100, content[100:])]
    assert list(UploadWindow(content, len(content))) == []


def test_a_closed_window_lets_the_sending_thread_end():
    window = UploadWindow(bytes(2 * WINDOW_BYTES), 0)
    thread = threading.Thread(target=lambda: list(window))
    thread.start()
    window.close()
    thread.join(10)
    assert not thread.is_alive()
