"""Stores and servers that are made anew for every test that asks for one."""

from __future__ import annotations

import shutil

import pytest
from fixtures_evaluation_keys import Server, home_with_tenants
from fixtures_store import new_store


@pytest.fixture
def root(tmp_path):
    """Where a client's key store is."""
    return tmp_path / "keys"


@pytest.fixture
def store(root):
    """An empty key store, opened."""
    return new_store(root)


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A server's home with two tenants; copied, and never changed."""
    return home_with_tenants(tmp_path_factory.mktemp("server") / "home")


@pytest.fixture
def home(template, tmp_path):
    """A server's home of one's own."""
    return shutil.copytree(template, tmp_path / "home")


@pytest.fixture
def server(home):
    """What a server does with evaluation keys."""
    return Server(home)
