"""Crypto parameters of a circuit: their identity, and the 128-bit floor.

Works on ``client.specs.json`` as Concrete writes it, without importing Concrete: a server chooses
these numbers, so a client checks them before any native code reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from blindfit.errors import BundleError, WeakParametersError

_PARAMS_CONTEXT = b"blindfit keyset description v1\n"
_MIN_DIMENSION = 450
# The compiler's choice sits exactly on the curve and is printed rounded: allow one part in 1,000,
# which is less than 0.001 bits of security.
_ROUNDING = 0.999
_INPUT = "input "


def params_id(specs: dict[str, Any]) -> str:
    """SHA-256, in hex, of the canonical keyset description: equal ids can share a keyset."""
    try:
        description = json.dumps(
            specs["keyset"], sort_keys=True, separators=(",", ":"), allow_nan=False
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError("the circuit has no keyset description") from error
    return hashlib.sha256(_PARAMS_CONTEXT + description.encode()).hexdigest()


def minimal_variance(dimension: int) -> float:
    """The least noise variance with 128 bits of security at this LWE dimension.

    Concrete's own security curve (binary secret keys, 64-bit native modulus), as the line that its
    compiler uses: log2 of the standard deviation is -0.0256967787 n + 2.6759313725, and never under
    2 bits of the modulus.
    """
    log2_deviation = -0.025696778711484593 * dimension + 2.675931372549016
    return float(2.0 ** max(2 * log2_deviation, -2.0 * 62))


def check_security_floor(specs: dict[str, Any]) -> None:
    """Raise `WeakParametersError` unless everything a client encrypts has 128 bits of security.

    That is the input ciphertexts and, inside the evaluation keys, every keyswitching and
    bootstrapping key, each under the secret key that it is encrypted with.
    """
    try:
        keys = _secret_keys(specs["keyset"])
        encryptions = list(_encryptions(specs, keys))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise WeakParametersError("the crypto parameters cannot be read completely") from error
    if not any(what.startswith(_INPUT) for what, _, _ in encryptions):
        raise WeakParametersError("the crypto parameters describe no input")
    for what, dimension, variance in encryptions:
        if dimension < _MIN_DIMENSION:
            raise WeakParametersError(
                f"{what} has LWE dimension {dimension}; at least {_MIN_DIMENSION} is needed"
            )
        if not variance >= minimal_variance(dimension) * _ROUNDING:
            raise WeakParametersError(
                f"{what} has noise variance {variance:.3g} at dimension {dimension}; 128 bits of "
                f"security need {minimal_variance(dimension):.3g}"
            )


def _secret_keys(keyset: dict[str, Any]) -> dict[int, int]:
    """Dimension by key id; refuses what the security curve was not made for."""
    dimensions: dict[int, int] = {}
    for key in keyset["lweSecretKeys"]:
        params = key["params"]
        if params["keyType"] != "binary" or params["integerPrecision"] != 64:
            raise WeakParametersError("secret keys must be binary with a 64-bit modulus")
        if key["id"] in dimensions:
            raise WeakParametersError(f"secret key {key['id']} is described twice")
        dimensions[key["id"]] = _whole(params["lweDimension"])
    return dimensions


def _encryptions(
    specs: dict[str, Any], dimensions: dict[int, int]
) -> Iterator[tuple[str, int, float]]:
    keyset = specs["keyset"]
    for key in keyset["lweKeyswitchKeys"]:
        _native(key["params"])
        _declared(key["params"]["outputLweDimension"], dimensions[key["outputId"]])
        name = f"keyswitching key {key['id']}"
        yield name, dimensions[key["outputId"]], float(key["params"]["variance"])
    for key in keyset["lweBootstrapKeys"]:
        params = key["params"]
        _native(params)
        dimension = _whole(params["glweDimension"]) * _whole(params["polynomialSize"])
        _declared(dimension, dimensions[key["outputId"]])
        yield f"bootstrapping key {key['id']}", dimension, float(params["variance"])
    for by_function in (specs.get("tfhers_specs") or {}).values():
        if any(entry is not None for entries in by_function.values() for entry in entries):
            raise WeakParametersError("ciphertexts of TFHE-rs are not supported")
    if len(specs["circuits"]) != 1:
        raise WeakParametersError("a bundle describes one circuit")
    if keyset["packingKeyswitchKeys"]:
        raise WeakParametersError("packing keyswitching keys are not supported")
    for circuit in specs["circuits"]:
        for gate in (*circuit["inputs"], *circuit["outputs"]):
            _require_encrypted(gate)
        for index, gate in enumerate(circuit["inputs"]):
            encryption = gate["typeInfo"]["lweCiphertext"]["encryption"]
            _native(encryption)
            _declared(encryption["lweDimension"], dimensions[encryption["keyId"]])
            name = f"{_INPUT}{index} of {circuit['name']}"
            yield name, dimensions[encryption["keyId"]], float(encryption["variance"])


def _require_encrypted(gate: dict[str, Any]) -> None:
    """Refuse a value that would travel in clear.

    ``typeInfo`` is a union: given a second member, such as ``plaintext``, the native reader may
    take that one, and the client would send its rows readable.
    """
    if set(gate["typeInfo"]) != {"lweCiphertext"}:
        raise WeakParametersError("an input or output of the circuit is not only a ciphertext")
    if gate["typeInfo"]["lweCiphertext"]["compression"] not in ("none", "seed"):
        raise WeakParametersError("a ciphertext has an unknown compression")


def _native(params: dict[str, Any]) -> None:
    if set(params["modulus"]["modulus"]) != {"native"}:
        raise WeakParametersError("the ciphertext modulus must be the native 64-bit one")
    if params.get("keyType", "binary") != "binary":
        raise WeakParametersError("secret keys must be binary with a 64-bit modulus")


def _declared(value: Any, expected: int) -> None:
    if _whole(value) != expected:
        raise WeakParametersError("the crypto parameters contradict each other")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise WeakParametersError("a dimension is not a positive whole number")
    return value
