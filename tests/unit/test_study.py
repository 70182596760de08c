import tracemalloc

import pytest

from blindfit.errors import StudyError
from blindfit.study import load_study, parse_study, study_from_json


def test_digest_ignores_layout_comments_and_spelled_out_defaults(study_text):
    relaid = "# a comment\n" + study_text.replace("C = 2.0", "C    =   2.0")
    explicit = study_text + "\n"
    explicit = explicit.replace("[schema]", "[fhe]\nn_bits = 8\n[schema]")
    assert parse_study(study_text).digest == parse_study(relaid).digest
    assert parse_study(study_text).digest == parse_study(explicit).digest


def test_digest_is_stable_across_releases(study_text):
    # A participant pins this; changing how it is computed would refuse every accepted study.
    assert parse_study(study_text).digest == (
        "f6d878988865516c3be5df2e75273a5699f16521c7f85cb3b3eeb53b48d79372"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("C = 2.0", "C = 2.1"),
        ("max = 10", "max = 11"),
        ('"left", "right"', '"right", "left"'),
        ("classes = [0, 1]", "classes = [0, 1, 2]"),
    ],
)
def test_digest_changes_with_every_agreed_thing(study_text, old, new):
    assert parse_study(study_text).digest != parse_study(study_text.replace(old, new)).digest


def test_the_study_survives_its_canonical_json(study):
    assert study_from_json(study.canonical()) == study


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max = 10", "max = -1", "schema.features[0]: min must be below max"),
        ("max = 10", 'max = "ten"', "schema.features[0].max: Input should be a valid number"),
        ("max = 10", "max = inf", "schema.features[0].max: Input should be a finite number"),
        ("LogisticRegression", "LogReg", "model.estimator: Input should be 'LogisticRegression'"),
        ("LogisticRegression", "Ridge", "Ridge needs schema.target_range"),
        ("classes = [0, 1]", "classes = [0]", "schema.classes: needs at least two classes"),
        ("classes = [0, 1]", 'classes = [0, "b"]', "must be a list of whole numbers, or a list"),
        ("classes = [0, 1]", "classes = [true, false]", "must be a list of whole numbers"),
        ('kind = "category"', 'kind = "colour"', "'number', 'category', 'text'"),
        ('name = "radius"', 'name = "side"', "the columns side are declared twice"),
        ('name = "radius"', 'name = "malignant"', "the target 'malignant' is also a feature"),
        ('name = "radius"', 'name = "r{9..2}"', "must rise"),
        ("C = 2.0 }", "C = 2.0 }\nextra = 1", "model.extra: unknown key"),
        ('target = "malignant"', "", "schema.target: is missing"),
        ("[study]", "[study", "is not valid TOML"),
    ],
)
def test_an_error_names_the_key_and_what_is_allowed(study_text, old, new, message):
    with pytest.raises(StudyError) as error:
        parse_study(study_text.replace(old, new))
    assert message in str(error.value)


def test_column_ranges_expand_in_order(study_text):
    study = parse_study(study_text.replace('name = "radius"', 'name = "pixel{8..11}.x"'))
    names = [name for name, _ in study.schema_.columns()]
    assert names == ["pixel8.x", "pixel9.x", "pixel10.x", "pixel11.x", "side"]
    assert study.schema_.width == 6


def test_a_study_of_a_few_bytes_cannot_stand_for_millions_of_columns(study_text):
    feature = '[[schema.features]]\nname = "x%d_{0..65535}"\nkind = "number"\nmin = 0\nmax = 1\n'
    bomb = study_text + "".join(feature % number for number in range(2_000))
    tracemalloc.start()
    with pytest.raises(StudyError, match="at most 65536 are allowed"):
        parse_study(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6


def test_an_unreadable_file_is_a_study_error(tmp_path):
    with pytest.raises(StudyError, match="cannot read"):
        load_study(tmp_path / "absent.toml")
