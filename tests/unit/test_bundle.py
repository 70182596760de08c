"""A client believes nothing of a bundle before it is signed, complete, and strong enough."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from unit.test_parameters import specs  # noqa: F401 - a fixture

from blindfit.bundle import audit_client_zip, fetch_bundle, open_bundle
from blindfit.errors import BundleError, WeakParametersError
from blindfit.frame import Frame
from blindfit.manifest import Circuit, FileEntry, Gate, Manifest, Probes
from blindfit.parameters import params_id
from blindfit.signing import sign_manifest

FRAME = Frame.measure([b"\0" * 8 + b"a" * 8, b"\0" * 8 + b"b" * 8])


def class_name(module="concrete.ml.sklearn.linear_model", name="LogisticRegression", **extra):
    """How Concrete ML writes an estimator's class: a skops archive with one node."""
    schema = {"__class__": name, "__module__": module, "__loader__": "TypeNode", **extra}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return {"type_name": "type", "serialized_value": buffer.getvalue().hex()}


def processing(**changes):
    quantizer = {
        "type_name": "UniformQuantizer",
        "serialized_value": {
            "n_bits": 8,
            "scale": {"type_name": "numpy_float", "serialized_value": 0.1, "dtype": "float64"},
        },
    }
    return {
        "model_type": class_name(),
        "model_post_processing_params": {},
        "input_quantizers": [quantizer],
        "output_quantizers": [quantizer],
        "is_training": False,
        "ciphertext_format": "concrete",
        "is_fitted": True,
    } | changes


def client_zip(specs, document=None, **members):  # noqa: F811
    content = {
        "client.specs.json": json.dumps(specs),
        "serialized_processing.json": json.dumps(document or processing()),
        "versions.json": "{}",
    } | members
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def manifest_for(content, specs, study):  # noqa: F811
    circuit = Circuit(
        params_id=params_id(specs), n_bits=8, bits=20, inputs=3, outputs=1,
        programmable_bootstraps=False, input=FRAME, output=FRAME, evaluation_keys=FRAME,
    )  # fmt: skip
    return Manifest(
        format=1, model="tumours", version=1, created="2025-01-01T00:00:00Z",
        study_digest=study.digest, estimator="LogisticRegression", output="sigmoid",
        schema=study.schema_, circuit=circuit, probes=Probes(lower=(0,), upper=(1,)),
        gate=Gate(rows=1, agreed=1), accuracy={}, training={}, packages={},
        files={
            "client.zip": FileEntry(
                sha256=hashlib.sha256(content).hexdigest(), size=len(content)
            )
        },
    )  # fmt: skip


class Publisher:
    """A server that publishes one bundle, and may be changed to lie."""

    def __init__(self, specs, study):  # noqa: F811
        self.key = Ed25519PrivateKey.generate()
        self.pinned = self.key.public_key().public_bytes_raw().hex()
        self.client_zip = client_zip(specs)
        self.manifest = manifest_for(self.client_zip, specs, study).to_bytes()
        self.signature = sign_manifest(self.key, self.manifest)
        self.downloads = 0

    def describe_model(self, model, version):
        return self.manifest, self.signature

    def download_client_bundle(self, model, version, size):
        self.downloads += 1
        return self.client_zip


@pytest.fixture
def publisher(specs, study):  # noqa: F811
    return Publisher(specs, study)


def test_a_good_bundle_is_fetched_once_and_opened_from_the_cache(publisher, tmp_path):
    for _ in range(2):
        bundle = fetch_bundle(publisher, tmp_path, publisher.pinned, "tumours")
    assert bundle.manifest.circuit.inputs == 3
    assert publisher.downloads == 1
    assert open_bundle(bundle.folder, publisher.pinned).manifest == bundle.manifest


@pytest.mark.parametrize("part", ["manifest", "signature", "client_zip"])
def test_any_changed_byte_is_refused(publisher, tmp_path, part):
    good = getattr(publisher, part)
    for position in range(0, len(good), max(1, len(good) // 40)):
        changed = bytearray(good)
        changed[position] ^= 1
        setattr(publisher, part, bytes(changed))
        with pytest.raises(BundleError):
            fetch_bundle(publisher, tmp_path, publisher.pinned, "tumours")
    assert not (tmp_path / "bundles" / "tumours" / "1" / "manifest.json").exists()


def test_a_bundle_of_another_publisher_is_refused(publisher, tmp_path):
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    with pytest.raises(BundleError, match="not signed by the pinned publisher key"):
        fetch_bundle(publisher, tmp_path, other, "tumours")


def test_a_tampered_cache_is_refused(publisher, tmp_path):
    bundle = fetch_bundle(publisher, tmp_path, publisher.pinned, "tumours")
    path = bundle.folder / "client.zip"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match=r"client\.zip is not the file"):
        open_bundle(bundle.folder, publisher.pinned)


@pytest.mark.parametrize(("model", "version"), [("others", None), ("tumours", 2)])
def test_a_signed_manifest_of_something_else_is_refused(publisher, tmp_path, model, version):
    with pytest.raises(BundleError, match="answered with tumours version 1"):
        fetch_bundle(publisher, tmp_path, publisher.pinned, model, version)


def test_a_repeated_key_is_refused_since_readers_differ_on_it(specs, study):  # noqa: F811
    document = json.dumps(processing())
    hidden = '{"is_fitted": {"type_name": "onnx_model", "serialized_value": "00"},' + document[1:]
    weak = json.dumps(specs)[:-1] + ', "keyset": {}}'
    for members in ({"serialized_processing.json": hidden}, {"client.specs.json": weak}):
        content = client_zip(specs, **members)
        with pytest.raises(BundleError, match="cannot be read"):
            audit_client_zip(content, manifest_for(content, specs, study))


def test_weak_parameters_are_refused_though_signed(specs, study):  # noqa: F811
    encryption = specs["circuits"][0]["inputs"][0]["typeInfo"]["lweCiphertext"]["encryption"]
    encryption["variance"] = 1e-40
    content = client_zip(specs)
    with pytest.raises(WeakParametersError, match="128 bits"):
        audit_client_zip(content, manifest_for(content, specs, study))


@pytest.mark.parametrize(
    "members",
    [
        {"../evil": "x"},
        {"model.pkl": "x"},
        {"client.specs.json": "not json"},
        {"client.specs.json": "[]"},
        {"client.specs.json": "{}"},
        {"serialized_processing.json": " " * (65 << 20)},
    ],
)
def test_other_members_than_the_known_ones_are_refused(specs, study, members):  # noqa: F811
    content = client_zip(specs, **members)
    with pytest.raises((BundleError, WeakParametersError)):
        audit_client_zip(content, manifest_for(content, specs, study))


QUANTIZERS = "input_quantizers"


@pytest.mark.parametrize(
    "document",
    [
        processing(extra=1),
        processing(ciphertext_format="tfhe_rs"),
        processing(**{QUANTIZERS: [{"type_name": "sklearn_model", "serialized_value": "00"}]}),
        processing(**{QUANTIZERS: [{"type_name": "onnx_model", "serialized_value": "00"}]}),
        processing(**{QUANTIZERS: [class_name()]}),
        processing(**{QUANTIZERS: [{"type_name": "numpy_array", "serialized_value": [],
                                    "dtype": "object"}]}),
        processing(**{QUANTIZERS: [[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]}),
        processing(model_type={"type_name": "sklearn_model", "serialized_value": "00"}),
        processing(model_type=class_name(name="Ridge")),
        processing(model_type=class_name(module="os", name="LogisticRegression")),
        processing(model_type=class_name(__loader__="FunctionNode")),
        processing(model_type={"type_name": "type", "serialized_value": "zz"}),
        {"model_type": 1},
    ],
)  # fmt: skip
def test_a_processing_description_that_constructs_more_is_refused(specs, study, document):  # noqa: F811
    content = client_zip(specs, document)
    with pytest.raises(BundleError):
        audit_client_zip(content, manifest_for(content, specs, study))
