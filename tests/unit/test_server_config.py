"""The configuration of a server."""

from __future__ import annotations

import os
from dataclasses import fields, replace

import pytest

from blindfit.errors import InputError
from server_app.config import Config, Limits, config_text, load_config
from server_app.home import create_home


@pytest.fixture
def home(tmp_path):
    create_home(tmp_path / "home", [])
    return tmp_path / "home"


def rewrite(home, old, new):
    path = home / "config.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_new_home_has_the_default_configuration(home):
    assert load_config(home) == Config()
    assert load_config(home).listen == "127.0.0.1:7443"
    assert load_config(home).limits.max_message == 1 << 20


def test_every_limit_stands_in_the_file_with_its_default_and_what_it_means(home):
    text = (home / "config.toml").read_text()
    for item in fields(Limits):
        line = next(line for line in text.splitlines() if line.startswith(f"# {item.name} = "))
        value, _, meaning = line.removeprefix(f"# {item.name} = ").partition("  # ")
        assert float(value) == getattr(Limits(), item.name)
        assert meaning


def test_a_limit_is_changed_by_removing_the_comment_sign(home):
    rewrite(home, "# retiring_grace = 3600.0", "retiring_grace = 5")
    assert load_config(home).limits.retiring_grace == 5.0
    assert load_config(home).limits.run_timeout == Limits().run_timeout


def test_an_unknown_key_is_an_error_that_names_it(home):
    rewrite(home, "# run_timeout", "run_timout")
    with pytest.raises(InputError, match=r"limits\.run_timout"):
        load_config(home)


def test_a_value_out_of_range_is_an_error_that_names_its_key(home):
    rewrite(home, "workers = 0", "workers = -1")
    with pytest.raises(InputError, match="workers"):
        load_config(home)


def test_text_where_a_number_belongs_is_refused(home):
    rewrite(home, "workers = 0", 'workers = "2"')
    with pytest.raises(InputError, match="workers"):
        load_config(home)


def test_a_broken_file_is_an_error_that_names_it(home):
    rewrite(home, "workers = 0", "workers = = 0")
    with pytest.raises(InputError, match=r"config\.toml"):
        load_config(home)


def test_a_folder_that_is_no_home_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError) as error:
        load_config(tmp_path)
    assert "blindfit-server init" in error.value.hint


def test_workers_default_to_the_cpus_and_a_stream_keeps_them_all_busy():
    assert Config().worker_count == os.cpu_count()
    assert Config(workers=1).stream_window == 4
    assert Config(workers=8).stream_window == 16
    assert Config(limits=Limits(rows_in_flight=3)).stream_window == 3


def test_the_written_text_is_read_as_the_same_configuration(home):
    config = replace(Config(), host="fhe.example.org", listen="0.0.0.0:1", workers=3)
    (home / "config.toml").write_text(config_text(config))
    assert load_config(home) == config
