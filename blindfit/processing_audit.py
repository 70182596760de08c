"""Reads ``serialized_processing.json`` as data, before Concrete ML constructs objects from it.

The file may name classes, and carries small skops archives. A client lets through numbers,
quantizers and the name of a Concrete ML estimator, and nothing else.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

from blindfit.errors import BundleError
from blindfit.strict_json import loads_strict

_TYPES = frozenset(
    {"type", "UniformQuantizer", "numpy_float", "numpy_integer", "numpy_array", "tuple"}
)
_MODULES = re.compile(r"^concrete\.ml\.sklearn\.(linear_model|glm|svm|tree|rf|xgb)$")
_DTYPE = re.compile(r"^(int|uint|float)(8|16|32|64)$")
_MAX_DEPTH = 20
_FIELDS = frozenset(
    {
        "model_type",
        "model_post_processing_params",
        "input_quantizers",
        "output_quantizers",
        "is_training",
        "ciphertext_format",
        "is_fitted",
    }
)


def audit_processing(document: bytes, estimator: str) -> None:
    """Raise `BundleError` unless ``document`` holds only what a Concrete ML client of
    ``estimator`` needs.
    """
    try:
        content = loads_strict(document)
        if set(content) != _FIELDS or content["ciphertext_format"] != "concrete":
            raise BundleError("the client's processing description has unexpected parts")
        _audit_class(content["model_type"], estimator)
        for name in _FIELDS - {"model_type"}:
            _audit_value(content[name], 0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError("the client's processing description cannot be read") from error


def _audit_value(value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise BundleError("the client's processing description is nested too deeply")
    if isinstance(value, dict):
        if "type_name" in value:
            name = value["type_name"]
            if name not in _TYPES - {"type"}:
                raise BundleError(f"the client's processing description names the type {name!r}")
            if "dtype" in value and not _DTYPE.match(str(value["dtype"])):
                raise BundleError("the client's processing description has an unknown dtype")
        for item in value.values():
            _audit_value(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _audit_value(item, depth + 1)


def _audit_class(value: Any, estimator: str) -> None:
    """A skops archive with one ``TypeNode``: the name of a class, and no object."""
    if set(value) != {"type_name", "serialized_value"} or value["type_name"] != "type":
        raise BundleError("the client's estimator is not given as a class")
    try:
        with zipfile.ZipFile(io.BytesIO(bytes.fromhex(value["serialized_value"]))) as archive:
            if archive.namelist() != ["schema.json"]:
                raise BundleError("the client's estimator carries more than a class name")
            if archive.getinfo("schema.json").file_size > 4096:
                raise BundleError("the client's estimator is not a class name")
            schema = loads_strict(archive.read("schema.json"))
    except zipfile.BadZipFile as error:
        raise BundleError("the client's estimator cannot be read") from error
    if (
        schema["__loader__"] != "TypeNode"
        or schema["__class__"] != estimator
        or not _MODULES.match(schema["__module__"])
    ):
        raise BundleError(
            f"the client's estimator is {schema['__module__']}.{schema['__class__']}, "
            f"not Concrete ML's {estimator}"
        )
