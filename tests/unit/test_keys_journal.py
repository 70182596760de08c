from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from fixtures_keys import PARAMS
from fixtures_rotation import open_store

from blindfit.errors import AccessError, IntegrityError, NotFoundError
from keys.journal import Kind, decode_journal, encode_journal, new_journal
from keys.journals import Journals
from keys.store import KeyStore

OLD = "12" * 32


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path)


@pytest.fixture
def journals(store):
    return Journals(store)


def begin(journals, store, params_id=PARAMS, **fields):
    journal = new_journal(Kind.ROTATE, ("digits",), params_id, OLD, timedelta(hours=1))
    journal = replace(journal, **fields)
    journals.save(store, journal)
    return journal


def path_of(store, journal):
    return store.root / "rotations" / f"{journal.rotation_id}.json"


def test_a_journal_is_read_back_without_a_passphrase(journals, store):
    journal = begin(journals, store, step="upload", new_key_id="34" * 32)
    reader = Journals(KeyStore(store.root))
    assert reader.all() == [journal]
    assert reader.find(journal.rotation_id[:4]) == journal
    assert reader.of(PARAMS) == journal
    assert reader.of("00" * 32) is None


def test_saving_again_replaces_it_and_removing_ends_it(journals, store):
    journal = begin(journals, store)
    journals.save(store, replace(journal, step="seal"))
    assert [j.step for j in journals.all()] == ["seal"]
    journals.remove(journal)
    assert journals.all() == []


def test_an_unknown_or_ambiguous_id_names_the_status_command(journals, store):
    for rotation_id in ("a" * 16, "a1" + "0" * 14):
        begin(journals, store, rotation_id=rotation_id)
    for wanted in ("", "b", "a"):
        with pytest.raises(NotFoundError) as caught:
            journals.find(wanted)
        assert "--status" in caught.value.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "create"),
        ("models", ["spam"]),
        ("params_id", "00" * 32),
        ("old_key_id", "56" * 32),
        ("new_key_id", "56" * 32),
        ("step", "prove"),
        ("grace", 0),
        ("started", "2020-01-01T00:00:00+00:00"),
        ("drain_until", "2020-01-01T00:00:00+00:00"),
        ("rotation_id", "0" * 16),
    ],
)
def test_a_changed_field_is_not_believed(journals, store, field, value):
    path = path_of(store, begin(journals, store))
    document = json.loads(path.read_text())
    assert document["journal"][field] != value
    document["journal"][field] = value
    path.write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match="not signed"):
        journals.all()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b'{"journal":{},"signature":1}'])
def test_a_damaged_journal_is_an_error_that_names_the_file(journals, store, content):
    path = path_of(store, begin(journals, store))
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="damaged") as caught:
        journals.all()
    assert path.name in str(caught.value)


def test_a_journal_of_another_store_is_refused(journals, store, tmp_path):
    other = open_store(tmp_path / "other")
    path = path_of(store, begin(Journals(other), other))
    path.parent.mkdir(mode=0o700)
    path.write_bytes(path_of(other, Journals(other).all()[0]).read_bytes())
    path.chmod(0o600)
    with pytest.raises(IntegrityError):
        journals.all()


def test_a_journal_under_another_name_is_refused(journals, store):
    path = path_of(store, begin(journals, store))
    path.rename(path.with_name("0" * 16 + ".json"))
    with pytest.raises(IntegrityError, match="holds the journal"):
        journals.all()


def test_a_journal_that_others_may_write_is_refused(journals, store):
    path_of(store, begin(journals, store)).chmod(0o666)
    with pytest.raises(AccessError):
        journals.all()


@pytest.mark.parametrize(
    "change",
    [
        {"rotation_id": "../../evil"},
        {"rotation_id": "A" * 16},
        {"models": []},
        {"models": [1]},
        {"params_id": "short"},
        {"new_key_id": "short"},
        {"grace": -1},
        {"grace": 1.5},
        {"version": True},
        {"kind": "other"},
        {"started": "yesterday"},
        {"started": "2020-01-01T00:00:00"},
        {"drain_until": "never"},
        {"step": 3},
        {"surprise": 1},
    ],
)
def test_only_well_formed_journals_are_read(change):
    journal = new_journal(Kind.CREATE, ("digits",), PARAMS, None, timedelta(0))
    document = {**json.loads(encode_journal(journal)), **change}
    with pytest.raises(IntegrityError):
        decode_journal(json.dumps(document).encode())


def test_what_a_dead_writer_left_is_swept_by_the_next_one(journals, store):
    begin(journals, store)
    leftover = store.root / "rotations" / f".{'0' * 16}.json.abc.tmp"
    leftover.write_bytes(b"half a jour")
    begin(journals, store, params_id="cd" * 32)
    assert not leftover.exists()
    assert len(journals.all()) == 2


def test_only_one_process_has_the_keys_of_some_parameters(journals, store):
    journal = begin(journals, store)
    assert not journals.is_running(journal)
    with journals.only_one(PARAMS), journals.only_one("cd" * 32):
        assert journals.is_running(journal)
    assert not journals.is_running(journal)
