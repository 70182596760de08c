import numpy as np
import pandas as pd
import pytest

from blindfit.errors import InputError, RowsError
from blindfit.preprocessing import encode, encode_target
from blindfit.rows import read_rows
from blindfit.study import parse_study


@pytest.fixture
def rows():
    return pd.DataFrame(
        {"radius": [0.0, 2.5, 10.0], "side": ["left", "right", "left"], "malignant": [0, 1, 1]}
    )


def test_numbers_are_scaled_by_their_bounds_and_categories_are_one_hot(rows, study):
    encoded = encode(rows, study.schema_)
    assert encoded.X.tolist() == [[0.0, 1, 0], [0.25, 0, 1], [1.0, 1, 0]]
    assert encode_target(rows, study.schema_).tolist() == [0, 1, 1]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tables_read_back_as_they_were(rows, study, tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    rows.assign(unused=1).to_csv(path) if ending == "csv" else rows.to_parquet(path)
    table = read_rows(path, study.schema_, with_target=True)
    assert list(table.columns) == ["radius", "side", "malignant"]
    assert encode(table, study.schema_).X.tolist() == encode(rows, study.schema_).X.tolist()


def test_npz_maps_columns_by_order(study_text, tmp_path):
    study = parse_study(
        study_text.replace('name = "radius"', 'name = "r{0..1}"').split(
            '[[schema.features]]\nname = "side"'
        )[0]
    )
    path = tmp_path / "rows.npz"
    np.savez(path, X=np.array([[1, 2], [3, 4]], dtype=np.uint8), y=np.array([1, 0]))
    table = read_rows(path, study.schema_, with_target=True)
    assert encode(table, study.schema_).X.tolist() == [[0.1, 0.2], [0.3, 0.4]]
    assert encode_target(table, study.schema_).tolist() == [1, 0]


def test_npz_never_unpickles(study, tmp_path):
    path = tmp_path / "rows.npz"
    np.savez(path, X=np.array([[{"a": 1}, 2]], dtype=object))
    with pytest.raises(RowsError, match="cannot be read"):
        read_rows(path, study.schema_, with_target=False)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("radius", 11.0, "row 2, column radius: 11 is above max 10"),
        ("radius", -0.5, "row 2, column radius: -0.5 is below min 0"),
        ("radius", float("nan"), "row 2, column radius: nan is missing"),
        ("radius", float("inf"), "row 2, column radius: inf is not a number"),
        ("radius", "big", "row 2, column radius: 'big' is not a number"),
        ("side", "top", "row 2, column side: 'top' is not one of the categories (left, right)"),
    ],
)
def test_a_bad_value_is_named_with_row_column_value_and_bound(rows, study, column, value, message):
    bad = rows.astype(object)
    bad.loc[1, column] = value
    with pytest.raises(RowsError) as error:
        encode(bad, study.schema_)
    assert message in str(error.value)


def test_an_unknown_class_is_named(rows, study):
    with pytest.raises(RowsError, match="row 3, column malignant: 7 is not one of the study's"):
        encode_target(rows.assign(malignant=[0, 1, 7]), study.schema_)


def test_a_fractional_class_is_refused(rows, study):
    with pytest.raises(RowsError, match=r"row 2, column malignant: 0\.5"):
        encode_target(rows.assign(malignant=[0, 0.5, 1]), study.schema_)


def test_clipping_moves_to_the_bound_and_counts(rows, study):
    encoded = encode(rows.assign(radius=[-3.0, 5.0, 99.0]), study.schema_, out_of_bounds="clip")
    assert encoded.X[:, 0].tolist() == [0.0, 0.5, 1.0]
    assert encoded.warning() == "2 values were outside the bounds and clipped: radius (2)"


def test_clipping_does_not_hide_text_or_nan(rows, study):
    for value in ("big", float("nan")):
        bad = rows.astype(object)
        bad.loc[0, "radius"] = value
        with pytest.raises(RowsError):
            encode(bad, study.schema_, out_of_bounds="clip")


def test_a_missing_column_is_named(rows, study, tmp_path):
    path = tmp_path / "rows.csv"
    rows.drop(columns="side").to_csv(path)
    with pytest.raises(RowsError, match="the columns side are missing"):
        read_rows(path, study.schema_, with_target=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("radius,side\n1,left,7\n2,left,7\n", "more fields than the header"),
        ("radius,radius,side\n1,2,left\n", "the column radius is there twice"),
    ],
)
def test_a_csv_whose_columns_would_shift_is_refused(study, tmp_path, text, message):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(RowsError, match=message):
        read_rows(path, study.schema_, with_target=False)


def test_a_comma_at_the_end_of_every_line_shifts_nothing(study, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("radius,side\n1,left,\n2,right,\n")
    table = read_rows(path, study.schema_, with_target=False)
    assert encode(table, study.schema_).X.tolist() == [[0.1, 1, 0], [0.2, 0, 1]]


def test_a_number_may_stand_for_a_category_of_its_digits(study_text):
    study = parse_study(study_text.replace('["left", "right"]', '["1", "2"]'))
    X = np.array([[1.0, 2.0], [1.0, 1.0]])
    table = pd.DataFrame(X, columns=["radius", "side"])
    assert encode(table, study.schema_).X.tolist() == [[0.1, 0, 1], [0.1, 1, 0]]


def test_what_to_do_with_values_outside_is_said_exactly(rows, study):
    with pytest.raises(InputError, match="'klip' is neither error nor clip"):
        encode(rows, study.schema_, out_of_bounds="klip")


def test_a_category_called_na_is_not_a_missing_value(study_text, tmp_path):
    study = parse_study(study_text.replace('"left"', '"NA"'))
    path = tmp_path / "rows.csv"
    path.write_text("radius,side,malignant\n1,NA,0\n")
    table = read_rows(path, study.schema_, with_target=True)
    assert encode(table, study.schema_).X.tolist() == [[0.1, 1, 0]]


def test_an_empty_number_in_a_csv_is_missing(study, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("radius,side\n1,left\n,left\n")
    table = read_rows(path, study.schema_, with_target=False)
    with pytest.raises(RowsError, match="row 2, column radius: '' is missing"):
        encode(table, study.schema_)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.xlsx", b"", "rows come from"),
        ("rows.csv", b"", "cannot be read"),
        ("rows.npz", b"PK not a zip", "cannot be read"),
        ("rows.parquet", b"garbage", "cannot be read"),
        ("rows.csv", b"radius,side\n", "has no rows"),
    ],
)
def test_a_file_that_is_none_is_refused(study, tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RowsError, match=message):
        read_rows(path, study.schema_, with_target=False)


def test_hashed_text_is_zero_or_one_whatever_the_text(study_text):
    study = parse_study(
        study_text.replace(
            'kind = "category"\ncategories = ["left", "right"]', 'kind = "text"\nbuckets = 16'
        )
    )
    text = " ".join(f"word{i}" for i in range(500))
    X = encode(pd.DataFrame({"radius": [1, 1], "side": [text, ""]}), study.schema_).X
    assert set(X[0, 1:]) == {1.0}
    assert set(X[1, 1:]) == {0.0}
