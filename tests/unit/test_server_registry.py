"""Model versions: publishing, serving, promoting, retiring, and who sees them."""

from __future__ import annotations

import os

import pytest
from fixtures_server import PARAMS, publish, stage

from blindfit.errors import BundleError, InputError, PublishError, UnknownModelError
from server_app.catalogue import Catalogue
from server_app.home import create_home
from server_app.registry import Registry
from server_app.tenants import Tenant


@pytest.fixture
def home(tmp_path):
    create_home(tmp_path / "home", [])
    return tmp_path / "home"


def tenant(*models):
    return Tenant("clinic", "active", frozenset(models) if models else None, "", 0.0)


def test_a_published_version_is_current_and_opens_verified(home):
    registry = Registry(home)
    assert registry.next_version("digits") == 1
    publish(home)
    publish(home)
    assert registry.next_version("digits") == 3
    found = registry.open("digits")
    assert (found.model, found.version) == ("digits", 2)
    assert found.folder == home / "registry" / "digits" / "2"
    assert found.folder.stat().st_mode & 0o777 == 0o700
    assert registry.open("digits", 1).version == 1


def test_a_running_server_sees_what_is_published_later(home):
    registry = Registry(home)
    with pytest.raises(UnknownModelError):
        registry.open("digits")
    publish(home)
    assert registry.open("digits").version == 1
    publish(home, "spam")
    assert [found.model for found in registry.versions()] == ["digits", "spam"]


def test_the_same_version_is_published_once(home):
    first, second = stage(home, "digits", 1), stage(home, "digits", 1)
    folder = Registry(home).add(*first)
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(PublishError):
        Registry(home).add(*second)
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "client.zip", "server.zip"])
def test_a_changed_file_is_neither_published_nor_served(home, name):
    folder, manifest = stage(home, "digits", 1)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError):
        Registry(home).add(folder, manifest)
    assert Registry(home).numbers("digits") == []
    publish(home, "digits")
    (home / "registry" / "digits" / "1" / name).write_bytes(os.urandom(64))
    with pytest.raises(BundleError):
        Registry(home).open("digits", 1)
    assert Registry(home).versions() == []


def test_a_bundle_under_another_name_or_number_is_not_served(home):
    publish(home, "digits")
    (home / "registry" / "digits" / "1").rename(home / "registry" / "digits" / "7")
    with pytest.raises(BundleError, match="holds digits version 1"):
        Registry(home).open("digits", 7)


def test_promoting_goes_back_and_forth(home):
    registry = Registry(home)
    for _ in range(3):
        publish(home)
    registry.promote("digits", 1)
    assert registry.current("digits") == 1
    assert Registry(home).open("digits").version == 1
    with pytest.raises(UnknownModelError):
        registry.promote("digits", 4)


def test_a_retired_version_is_gone_with_a_hint_until_it_is_promoted(home):
    registry = Registry(home)
    publish(home)
    publish(home)
    registry.retire("digits", 1)
    with pytest.raises(UnknownModelError, match="retired and is gone") as error:
        registry.open("digits", 1)
    assert "current version" in error.value.hint
    assert registry.open("digits").version == 2
    registry.promote("digits", 1)
    assert registry.open("digits", 1).version == 1


def test_the_current_version_is_retired_only_when_it_is_the_last(home):
    registry = Registry(home)
    publish(home)
    publish(home)
    with pytest.raises(InputError, match="is the current one") as error:
        registry.retire("digits", 2)
    assert "models promote digits 1" in error.value.hint
    registry.retire("digits", 1)
    registry.retire("digits", 2)
    with pytest.raises(UnknownModelError):
        registry.open("digits")


@pytest.mark.parametrize("name", ["../digits", "", ".", "Digits", "a/b", "x" * 64])
def test_a_name_never_leads_out_of_the_registry(home, name):
    publish(home)
    with pytest.raises(UnknownModelError):
        Registry(home).open(name, 1)


def test_a_tenant_sees_the_granted_models_as_if_there_were_no_others(home):
    publish(home, "digits")
    publish(home, "spam", params_id="cd" * 32)
    catalogue = Catalogue(Registry(home))
    assert [line.model for line in catalogue.summaries(tenant())] == ["digits", "spam"]
    assert [line.model for line in catalogue.summaries(tenant("spam"))] == ["spam"]
    told = []
    for model in ("digits", "absent"):
        with pytest.raises(UnknownModelError) as error:
            catalogue.open(tenant("spam", "absent"), model, 1)
        told.append(str(error.value).replace(model, "MODEL"))
    assert told[0] == told[1]
    with pytest.raises(InputError, match="no model has these crypto parameters"):
        catalogue.key_frame(tenant("spam"), PARAMS)
    assert catalogue.key_frame(tenant(), PARAMS).length == 64


def test_a_retired_version_is_not_listed_and_takes_no_keys(home):
    publish(home, "digits")
    Registry(home).retire("digits", 1)
    catalogue = Catalogue(Registry(home))
    assert catalogue.summaries(tenant()) == []
    with pytest.raises(InputError):
        catalogue.key_frame(tenant(), PARAMS)
