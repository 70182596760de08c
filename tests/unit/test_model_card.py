"""Cards: what they say, and that a publisher's words stay words."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fixtures_card import RECORDS, digits_study, history, manifest, training
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from blindfit.bundle import fetch_manifest
from blindfit.card_schema import columns_of
from blindfit.card_text import markdown_text, number, seconds, size
from blindfit.card_training import read_training
from blindfit.errors import BundleError, InputError
from blindfit.manifest import Manifest
from blindfit.model_card import card_html, card_markdown
from blindfit.schema import Schema
from blindfit.signing import sign_manifest

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)> [a](javascript:alert(1)) "
    "![i](http://x/i) `code` **bold** _em_ ~~s~~ | cell | &lt; <!-- x --> \"'><b> {{ 7*7 }} "
    "{% raw %} http://evil.example www.evil.example me@evil.example\n# heading\n\n---\n> quote\n"
    "1. one\n\x1b[31m\u202ered"
)


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str] = []
        self.text = ""
        self._hidden = 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        self._hidden += tag == "style"

    def handle_endtag(self, tag):
        self._hidden -= tag == "style"

    def handle_data(self, data):
        if not self._hidden:
            self.text += data


def rendered(markdown: str) -> str:
    return (
        MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)
    )


def one_line(text: str) -> str:
    return " ".join(text.split())


def hostile_manifest() -> Manifest:
    """Hostile words wherever a manifest takes words."""
    document = json.loads(manifest().to_bytes())
    document |= {
        "created": HOSTILE,
        "estimator": HOSTILE,
        "schema": {
            "target": HOSTILE,
            "classes": [HOSTILE, "b"],
            "features": [
                {"name": HOSTILE + "1", "kind": "category", "categories": [HOSTILE, "x"]},
                {"name": HOSTILE + "2", "kind": "number", "min": 0, "max": 1},
            ],
        },
        "accuracy": {HOSTILE: 0.5},
        "packages": {HOSTILE: HOSTILE},
    }
    document["training"]["algorithm"] = HOSTILE
    for part in ("summary", "assumptions", "not_covered"):
        document["privacy"][part] = [HOSTILE]
    return Manifest.model_validate(document)


# -- hostile words -------------------------------------------------------------------------------


def test_hostile_words_are_shown_and_do_nothing_in_html():
    honest, page = Page(card_html(manifest())), Page(card_html(hostile_manifest()))
    assert page.tags <= honest.tags
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert not set("\x1b\u202e") & set(page.text)


def test_hostile_words_are_shown_and_do_nothing_in_markdown():
    text = card_markdown(hostile_manifest())
    honest, page = Page(rendered(card_markdown(manifest()))), Page(rendered(text))
    assert page.tags <= honest.tags  # no link, image, code, emphasis, heading or HTML of theirs
    assert not [name for name, _ in page.attributes if name in ("href", "src", "onerror")]
    assert one_line(HOSTILE.split("\x1b")[0]) in one_line(page.text)
    assert text.count("\n# ") == 0
    assert not re.search(r"(?<!\\)://|www\.|(?<!\\)@", text)  # GitHub makes links of bare ones
    assert not set("\x1b\u202e") & set(text)


@pytest.mark.parametrize(
    "words",
    ["# a", "- a", "+ a", "12. a", "3) a", "> a", "===", "---", "    a", "```", "~~~", "|-|"],
)
def test_no_words_start_a_block_of_markdown(words):
    assert rendered(markdown_text(words)) == f"<p>{words.strip().replace('>', '&gt;')}</p>\n"


def test_the_page_asks_for_nothing_and_says_so():
    page = card_html(manifest(digits_study(RECORDS)))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "script" not in policy[1]
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "base", "form", "a"} & parsed.tags
    addresses = [
        value
        for name, value in parsed.attributes
        if name in ("src", "href", "xlink:href", "action") or "url(" in (value or "")
    ]
    assert all(value.startswith("#") or "url(#" in value for value in addresses if value)
    assert "@import" not in page
    assert page.startswith("<!doctype html>")


def test_ids_are_unique_and_the_page_is_the_same_every_time():
    page = card_html(manifest())
    ids = Page(page).ids
    assert ids
    assert len(ids) == len(set(ids))
    assert card_html(manifest()) == page


# -- what it says --------------------------------------------------------------------------------


@pytest.mark.parametrize("render", [card_markdown, card_html])
def test_a_card_has_the_numbers_of_its_manifest(render):
    card = manifest(digits_study(RECORDS))
    text = render(card)
    words = Page(text if text.startswith("<") else rendered(text)).text
    for expected in (
        "digits", "version 3", "LogisticRegression", "C = 1.0; max_iter = 20", card.study_digest,
        "pixel0 to pixel63", "64 columns", "number from 0 to 16", "1,437", "0.7667", "86.7%",
        "95.0%", "94.7%", "94.0%", "92.0%", "50 of 50", "40 of 40", "97.5%",
        "6 KiB", "127 KiB", "64 bytes", "7.1 ms", "12.3 ms", "0.9 ms",
        "epsilon 2", "delta 1e-06", "trained with noise",
    ):  # fmt: skip
        assert expected in words, expected
    assert card.privacy is not None
    for sentence in (*card.privacy.summary, *card.privacy.assumptions, *card.privacy.not_covered):
        assert sentence in words


def test_without_differential_privacy_no_noise_is_mentioned_beside_numbers():
    assert "trained with noise" not in card_markdown(manifest())
    assert "trained with noise" in card_markdown(manifest(digits_study(RECORDS)))


def test_figures_are_where_there_is_something_to_show():
    assert card_html(manifest()).count("<svg") == 5
    single = manifest(training=training(1), evaluation=None, cost=None)
    assert card_html(single).count("<svg") == 1  # what a row is in bytes is always known


def test_a_manifest_of_an_earlier_version_has_a_card_too():
    document = json.loads(manifest().to_bytes())
    for name in ("study", "privacy", "evaluation", "cost"):
        del document[name]
    for name in ("same_labels", "largest_error"):
        del document["gate"][name]
    document |= {"accuracy": {}, "training": {}, "study_digest": None}
    old = Manifest.model_validate_json(json.dumps(document))
    assert (old.study, old.privacy, old.cost, old.gate.same_labels) == (None, None, None, None)
    for text in (card_markdown(old), card_html(old)):
        assert "nothing is claimed" in text
        assert "Nothing is recorded about the training" in text
        assert "Nobody gave labelled rows" in text


def test_scores_on_training_rows_are_called_that():
    on_training = manifest(
        evaluation={"source": "training", "rows": 360, "encrypted_rows": 50, "agreed": 50}
    )
    text = card_markdown(on_training)
    assert "rows that the model was trained on" in text
    assert "Expect less of it on other rows" in text
    assert "Expect less" not in card_markdown(manifest())


def test_a_study_that_is_not_the_one_of_the_digest_is_not_shown():
    study = json.loads(digits_study().canonical())
    study["model"]["params"]["C"] = 2.0
    text = card_markdown(manifest(study=study))
    assert "C = 2.0" not in text
    assert "not shown" in text


@pytest.mark.parametrize("study", [{}, {"model": 3}, {"study": {"name": "digits"}, "new": []}])
def test_a_study_that_cannot_be_read_does_not_spoil_the_card(study):
    assert "not shown" in card_markdown(manifest(study=study))


def test_a_regressors_scores_are_r2():
    document = json.loads(manifest().to_bytes())
    schema = document["schema"]
    schema["classes"], schema["target_range"] = None, {"min": 0, "max": 9}
    document["training"]["history"] = [
        line | {"accuracy": None, "r2": -0.25 * line["round"]} for line in history()
    ]
    document["accuracy"] = {"clear_r2": 0.5, "sample_encrypted_r2": -0.1234, "training_r2": 0.4}
    document["gate"] = {"rows": 40, "agreed": 40, "largest_error": 0.01234}
    card = Manifest.model_validate(document)
    text = card_markdown(card)
    for expected in ("R²", "a number from 0 to 9", "−0.1234", "−1.25", "0.01234", "0.4"):
        assert expected in text
    assert card_html(card).count("<svg") == 5


# -- long and strange manifests ------------------------------------------------------------------


def test_long_schemas_become_ranges():
    def lines(*features):
        schema = {"target": "y", "classes": [0, 1], "features": list(features)}
        return columns_of(Schema.model_validate(schema))

    def pixel(name, top=255):
        return {"name": name, "kind": "number", "min": 0, "max": top}

    found, left_out = lines(pixel("pixel{0..783}"))
    assert [(line.name, line.count) for line in found] == [("pixel0 to pixel783", 784)]
    assert left_out == 0
    found, _ = lines(pixel("a1"), pixel("a2"), pixel("a4"), pixel("a5", 9), pixel("b6", 9))
    assert [line.name for line in found] == ["a1 to a2", "a4", "a5", "b6"]
    found, left_out = lines(*(pixel(f"{i} x") for i in range(0, 200, 2)))
    assert (len(found), left_out) == (40, 60)


def test_many_rounds_are_sampled_with_the_first_and_the_last():
    many = training(1000)
    text = card_markdown(manifest(training=many))
    rows = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    assert (len(rows), rows[0], rows[-1]) == (20, "1", "1000")
    assert "20 of 1,000 rounds" in text
    assert card_html(manifest(training=many)).count("<svg") == 5


@pytest.mark.parametrize(
    "record",
    [
        {"history": 5},
        {"history": [{"round": "x"}]},
        {"participants": -1},
        {"rounds": 10**400},
        {"algorithm": {}},
    ],
)
def test_a_record_that_cannot_be_read_does_not_spoil_the_card(record):
    assert read_training(record) is None
    assert "cannot be read" in card_markdown(manifest(training=record))
    assert "cannot be read" in card_html(manifest(training=record))


def test_numbers_that_are_no_measurements_are_left_out():
    lines = [line | {"loss": 1e300, "accuracy": math.nan, "seconds": True} for line in history()]
    found = read_training(training() | {"history": lines})
    assert found is not None
    assert {(line.loss, line.accuracy) for line in found.history} == {(None, None)}
    extremes = manifest(
        accuracy={"sample_clear_accuracy": 1e300, "sample_encrypted_accuracy": -5.0},
        cost={"rows": 1, "cores": 1, "encrypt": 0, "run": 0, "decrypt": 0},
        training=training() | {"rows": 1e300},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "<svg" in card_html(extremes)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (size(64), "64 bytes"), (size(6144), "6 KiB"), (size(130_304), "127 KiB"),
        (size(1_000_000), "977 KiB"), (size(62_914_560), "60 MiB"), (size(5 << 40), "5,120 GiB"),
        (seconds(0.00042), "0.42 ms"), (seconds(7.2), "7.2 s"), (seconds(600), "10 min"),
        (number(None), "–"), (number(1437), "1,437"), (number(-0.12344), "−0.1234"),
        (number(1437.26), "1,437"), (number(0.0000001), "1e−07"),
    ],
)  # fmt: skip
def test_numbers_as_people_read_them(shown, text):
    assert shown == text


# -- commands ------------------------------------------------------------------------------------


class Server:
    """Signs and serves one manifest, or another than was asked for."""

    def __init__(self, document: Manifest):
        key = Ed25519PrivateKey.generate()
        self.pinned = key.public_key().public_bytes_raw().hex()
        self.content = document.to_bytes()
        self.signature = sign_manifest(key, self.content)

    def __enter__(self):
        return self

    def __exit__(self, *_raised):
        pass

    def describe_model(self, model, version):
        return self.content, self.signature

    def list_models(self):
        return []


@pytest.fixture
def client(monkeypatch):
    """`blindfit-client` with an identity and a server that are made up."""
    from client_app.cli import app

    server = Server(manifest())
    identity = SimpleNamespace(publisher_key=server.pinned)
    homes = []

    def load(home):
        homes.append(str(home))
        return identity

    monkeypatch.setattr("keys.identity.load_identity", load)
    monkeypatch.setattr("keys.connecting.connect", lambda identity: server)

    def call(*arguments):
        result = CliRunner().invoke(app, [str(item) for item in arguments])
        if result.exception is not None:
            raise result.exception
        return result.stdout

    return SimpleNamespace(call=call, server=server, homes=homes)


def test_a_client_makes_the_card_from_the_signed_manifest(client, tmp_path):
    assert client.call("models", "card", "digits", "--home", tmp_path) == card_markdown(manifest())
    out = tmp_path / "card.html"
    client.call("models", "--home", tmp_path, "card", "digits", "--version", "3", "--out", out)
    assert out.read_text() == card_html(manifest())
    assert client.homes == [str(tmp_path)] * 2
    document = json.loads(client.call("models", "card", "digits", "--format", "html", "--json"))
    assert document["card"] == card_html(manifest())
    assert (document["version"], document["format"], document["file"]) == (3, "html", None)


def test_models_alone_still_lists(client, tmp_path):
    assert json.loads(client.call("models", "--home", tmp_path, "--json")) == {"models": []}
    assert "no model for this client" in client.call("models", "--home", tmp_path)


def test_a_changed_manifest_has_no_card(client, tmp_path):
    client.server.content = client.server.content.replace(b"0.95", b"0.99")
    with pytest.raises(BundleError, match="not signed by the pinned publisher key"):
        client.call("models", "card", "digits", "--home", tmp_path)


@pytest.mark.parametrize(("model", "version"), [("others", None), ("digits", 2)])
def test_a_card_of_something_else_is_refused(model, version):
    server = Server(manifest())
    with pytest.raises(BundleError, match="answered with digits version 3"):
        fetch_manifest(server, server.pinned, model, version)


def test_a_card_that_cannot_be_written_is_an_input_error(client, tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        client.call(
            "models", "card", "digits", "--home", tmp_path, "--out", tmp_path / "no" / "c.md"
        )


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("client_app.cli, server_app.cli", "{'matplotlib', 'jinja2', 'pydantic'}"),
        ("blindfit.model_card", "{'matplotlib'}"),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(modules, heavy):
    program = f"import sys, {modules}; assert not {heavy} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# -- the parts that publishing adds --------------------------------------------------------------


def test_labelled_rows_that_are_not_encoded_are_refused():
    from server_app.evaluation import LabelledRows, evaluate_model

    compiled = SimpleNamespace(circuit=SimpleNamespace(inputs=2, programmable_bootstraps=False))
    for X in (
        np.full((3, 2), 1.5),
        np.full((3, 3), 0.5),
        np.full((2, 2), 0.5),
        np.full((3, 2), np.nan),
    ):
        with pytest.raises(InputError, match="labelled rows"):
            evaluate_model(None, compiled, digits_study().schema_, LabelledRows(X, np.zeros(3)))


def test_the_server_shows_the_card_of_a_published_version(tmp_path):
    from fixtures_server import publish

    from server_app.cli import app
    from server_app.home import create_home

    home = tmp_path / "home"
    create_home(home, [])
    publish(home)
    result = CliRunner().invoke(app, ["models", "card", "digits", "--home", str(home)])
    assert result.exit_code == 0
    assert "# Model card: digits, version 1" in result.stdout
