import copy
import math

import pytest

from blindfit.errors import BundleError, WeakParametersError
from blindfit.parameters import check_security_floor, minimal_variance, params_id


def _native():
    return {"modulus": {"native": {}}}


def _secret_key(dimension):
    return {"lweDimension": dimension, "integerPrecision": 64, "keyType": "binary"}


@pytest.fixture
def specs():
    """A circuit with bootstraps, in the form that Concrete writes."""
    return {
        "keyset": {
            "lweSecretKeys": [
                {"id": 0, "params": _secret_key(2048)},
                {"id": 1, "params": _secret_key(771)},
            ],
            "lweBootstrapKeys": [
                {
                    "id": 0, "inputId": 1, "outputId": 0,
                    "params": {"glweDimension": 2, "polynomialSize": 1024,
                               "variance": 8.442253112932959e-31, "modulus": _native(),
                               "keyType": "binary", "inputLweDimension": 771},
                }
            ],
            "lweKeyswitchKeys": [
                {
                    "id": 0, "inputId": 0, "outputId": 1,
                    "params": {"variance": 4.8186834012187826e-11, "modulus": _native(),
                               "keyType": "binary", "inputLweDimension": 2048,
                               "outputLweDimension": 771},
                }
            ],
            "packingKeyswitchKeys": [],
        },
        "circuits": [
            {
                "name": "main",
                "inputs": [
                    {"typeInfo": {"lweCiphertext": {"compression": "seed", "encryption": {
                        "keyId": 0, "variance": 8.442253112932959e-31, "lweDimension": 2048,
                        "modulus": _native()}}}}
                ],
                "outputs": [],
            }
        ],
    }  # fmt: skip


def test_the_compilers_own_choice_passes(specs):
    check_security_floor(specs)


def test_the_curve_has_the_published_point():
    # The variance that Concrete chose at n = 1586.
    assert math.isclose(minimal_variance(1586), 1.18594e-23, rel_tol=1e-4)


def _set(path, value):
    def change(specs):
        target = specs
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = value

    return change


INPUT = ("circuits", 0, "inputs", 0, "typeInfo", "lweCiphertext", "encryption")
BOOTSTRAP = ("keyset", "lweBootstrapKeys", 0, "params")
KEYSWITCH = ("keyset", "lweKeyswitchKeys", 0, "params")


@pytest.mark.parametrize(
    "change",
    [
        _set((*INPUT, "variance"), 4e-31),
        _set((*INPUT, "variance"), 0.0),
        _set((*INPUT, "variance"), float("nan")),
        _set((*INPUT, "lweDimension"), 700),
        _set((*INPUT, "keyId"), 5),
        _set((*INPUT, "modulus"), {"modulus": {"powerOfTwo": {"power": 32}}}),
        _set((*BOOTSTRAP, "variance"), 1e-32),
        _set((*BOOTSTRAP, "polynomialSize"), 512),
        _set((*KEYSWITCH, "variance"), 1e-12),
        _set((*KEYSWITCH, "outputLweDimension"), 2048),
        _set(("keyset", "lweSecretKeys", 1, "params", "lweDimension"), 300),
        _set(("keyset", "lweSecretKeys", 0, "params", "keyType"), "ternary"),
        _set(("keyset", "lweSecretKeys", 0, "params", "lweDimension"), True),
        _set(("keyset", "lweSecretKeys", 1, "id"), 0),
        _set(("keyset", "packingKeyswitchKeys"), [{}]),
        _set(("circuits",), []),
        _set((*INPUT[:-2], "plaintext"), {}),
        _set((*INPUT[:-2], "index"), {}),
        _set((*INPUT[:-1], "compression"), "paillier"),
        lambda specs: specs["circuits"].append(specs["circuits"][0]),
        lambda specs: specs["circuits"][0]["outputs"].append({"typeInfo": {"plaintext": {}}}),
        lambda specs: specs.pop("keyset"),
    ],
)
def test_anything_weaker_or_unclear_is_refused(specs, change):
    change(specs)
    with pytest.raises(WeakParametersError):
        check_security_floor(specs)


def test_params_id_follows_the_keyset_and_nothing_else(specs):
    other = copy.deepcopy(specs)
    other["circuits"][0]["name"] = "renamed"
    assert params_id(other) == params_id(specs)
    other["keyset"]["lweSecretKeys"][0]["params"]["lweDimension"] = 2049
    assert params_id(other) != params_id(specs)


def test_params_id_needs_a_keyset_description():
    with pytest.raises(BundleError):
        params_id({})
