import numpy as np
import pytest

from demo.scan import Snapshots, find_any, row_needles, secret_key_needles


@pytest.fixture
def secret():
    bits = np.random.default_rng(0).integers(0, 2, size=1310)
    return b"\x07" * 24 + bits.astype("<u8").tobytes() + b"\xff" * 16


def test_a_planted_secret_key_is_found_in_every_form(secret):
    needles = secret_key_needles(secret)
    bits = np.frombuffer(secret[24:-16], dtype="<u8").astype(np.uint8)
    forms = [secret, bits.tobytes(), np.packbits(bits).tobytes()]
    forms.append(np.packbits(bits, bitorder="little").tobytes())
    for form in forms:
        planted = np.random.default_rng(1).bytes(5_001) + form + b"rest"
        assert len(find_any([b"", planted], needles)) >= 1310 // 64


def test_a_fragment_of_a_secret_key_is_found(secret):
    fragment = secret[24 + 64 * 8 : 24 + 128 * 8]
    assert find_any([b"xyz" + fragment], secret_key_needles(secret)) == [
        "secret key bits 64 to 128 as words"
    ]


def test_nothing_is_found_in_random_bytes(secret):
    assert find_any([np.random.default_rng(2).bytes(1 << 20)], secret_key_needles(secret)) == []


def test_a_planted_row_is_found_in_every_form():
    generator = np.random.default_rng(3)
    raw = generator.integers(0, 17, size=(3, 64)).astype(np.float64)
    encoded, quantized = raw / 16, (raw / 16 * 255).astype(np.int64) - 128
    needles = row_needles(raw, encoded, quantized)
    row = raw[1]
    forms = {
        "as CSV": ",".join(f"{v:g}" for v in row).encode(),
        "as bytes": row.astype(np.uint8).tobytes(),
        "as raw float64": row.tobytes(),
        "as float64": encoded[1].tobytes(),
        "as float32": encoded[1].astype(np.float32).tobytes(),
        "as quantized int64": quantized[1].tobytes(),
    }
    for name, form in forms.items():
        assert find_any([b"-" + form + b"-"], needles) == [f"row 2 {name}"]


def test_snapshots_keep_what_a_file_held_before(tmp_path):
    snapshots = Snapshots(tmp_path)
    for content in (b"first" * 1000, b"second" * 1000):
        (tmp_path / "file").write_bytes(content)
        snapshots.take()
    assert b"firstfirst" in snapshots.content
    assert b"secondsecond" in snapshots.content
