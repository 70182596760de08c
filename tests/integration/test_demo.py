"""The demo's story, with one round: its promises, and the search of all that the server had."""

from __future__ import annotations

import json

import numpy as np
import pytest

from demo.findings import corpus, examine, needles
from demo.page import write_page
from demo.scan import find_any
from demo.story import CLIENT, tell
from demo.table import print_findings
from keys.access import SECRET_ACCESS
from keys.unlocking import unlock_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    return tell(tmp_path_factory.mktemp("demo") / "story", rounds=1)


@pytest.fixture(scope="module")
def findings(story):
    return examine(story)


def test_encrypted_predictions_are_good_and_exactly_the_quantized_ones(findings):
    document = findings.document
    assert document["encrypted_rows"] == 449
    assert document["encrypted_matches_clear"] == 1.0
    assert document["accuracy"]["encrypted"] >= 0.93
    assert document["accuracy"]["federated"] >= document["accuracy"]["centralized"] - 0.02


def test_no_prediction_fails_while_the_keys_rotate(findings):
    rotation = findings.document["rotation"]
    assert rotation["failed"] == 0
    assert rotation["predictions_during"] >= 45
    assert rotation["old_key_id"] != rotation["new_key_id"]


def test_the_report_has_the_agreed_shape(findings, tmp_path, capsys):
    document = json.loads(json.dumps(findings.document))
    assert set(document) == {
        "dataset", "participants", "rounds", "secure_aggregation", "accuracy", "encrypted_rows",
        "encrypted_matches_clear", "rotation", "seconds",
    }  # fmt: skip
    assert set(document["seconds"]) == {"training", "compile", "predict_p50", "total"}
    write_page(findings, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("<svg") == 2
    print_findings(findings)
    assert "no secret key and no row in it" in capsys.readouterr().out


def test_the_server_received_and_stored_no_secret_key_and_no_row(findings):
    assert findings.seen.requests_bytes > 449 * 1800  # every ciphertext was searched
    assert findings.seen.secrets == []


def test_what_the_participants_sent_is_in_what_is_searched(story):
    assert story.snapshots is not None
    for kind in (b"query.share", b"train.masked", b"query.reveal"):
        assert kind in story.snapshots.content


@pytest.mark.parametrize("place", ["received", "stored"])
def test_of_the_test_a_planted_secret_is_found(story, place):
    home = story.deployment.home(CLIENT)
    store = unlock_store(home, lambda: b"correct horse battery staple")
    keyset = store.open(store.records()[0].key_id)
    row = story.encoded()[100]
    quantized = (story.encoded() * 255).astype(np.int64) - 128
    wanted = needles(story, quantized)
    planted = keyset.secret_bytes(SECRET_ACCESS) + row.tobytes()
    contents = corpus(story)
    if place == "received":
        contents[0] = contents[0][:1000] + planted + contents[0][1000:]
    else:
        path = story.deployment.server / "evaluation_keys" / "planted"
        path.write_bytes(planted)
        contents = corpus(story)
        path.unlink()
    found = find_any(contents, wanted)
    assert any("secret key bits" in name for name in found)
    assert "client's row 101 as float64" in found
