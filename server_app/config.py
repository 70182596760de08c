"""Every limit and address of a server, read from ``config.toml`` in its home."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from blindfit.errors import InputError
from server_app.layout import Layout

MIB = 1 << 20
DAY = 86_400.0  # seconds
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, config=_STRICT)
class Limits:
    """How much of anything one server takes on. Times in seconds, sizes in bytes."""

    max_message: int = Field(
        default=MIB,
        ge=MIB,  # keys come in pieces of 512 KiB
        description="one message of a client; at a start raised to the largest published row",
    )
    max_enrollment_message: int = Field(
        default=64 << 10,
        ge=4096,
        description="one message on the enrollment port, which is open to anybody",
    )
    max_request_id: int = Field(
        default=128,
        ge=8,
        description="characters of a request_id, which stands in logs and replies",
    )
    rows_in_flight: int = Field(
        default=0,
        ge=0,
        description="rows of one stream read ahead; 0: twice the workers, at least 4",
    )
    requests_in_flight: int = Field(
        default=64,
        ge=1,
        description="rows of one tenant over all its calls: others must not starve",
    )
    calls_per_tenant: int = Field(
        default=64, ge=1, description="open calls of one tenant, of any kind"
    )
    uploads_per_tenant: int = Field(
        default=4, ge=1, description="open uploads of evaluation keys of one tenant"
    )
    run_timeout: float = Field(
        default=300.0, gt=0, description="one run of a circuit; its worker is ended after this"
    )
    drain_timeout: float = Field(
        default=30.0, ge=0, description="how long a SIGTERM lets accepted rows finish"
    )
    bootstrap_threads: int = Field(
        default=0,
        ge=0,
        description="threads in a run with bootstraps; 0: all CPUs. Linear circuits get one",
    )
    circuits_per_worker: int = Field(
        default=16, ge=1, description="loaded circuits that a worker keeps"
    )
    key_bytes_per_worker: int = Field(
        default=1024 * MIB, ge=MIB, description="deserialized evaluation keys that a worker keeps"
    )
    max_evaluation_key: int = Field(default=1024 * MIB, ge=64, description="one evaluation key")
    keys_per_tenant: int = Field(default=32, ge=1, description="evaluation keys of one tenant")
    refused_keys_per_tenant: int = Field(
        default=10_000, ge=1, description="revoked keys of one tenant, whose ids are kept for ever"
    )
    key_bytes_per_tenant: int = Field(
        default=4096 * MIB, ge=64, description="evaluation keys of one tenant, all together"
    )
    generations_per_tenant: int = Field(
        default=4, ge=2, description="keys of one tenant with the same parameters"
    )
    retiring_grace: float = Field(
        default=3600.0, ge=0, description="a replaced key still answers, for rows encrypted before"
    )
    upload_expiry: float = Field(
        default=DAY, gt=0, description="an upload that nothing was added to gives its quota back"
    )
    staged_expiry: float = Field(
        default=7 * DAY, gt=0, description="a complete key that was never activated is forgotten"
    )
    key_lifetime: float = Field(
        default=730 * DAY, gt=0, description="an active key answers; then its owner has to rotate"
    )
    invitation_lifetime: float = Field(
        default=7 * DAY, gt=0, description="an invitation can be used"
    )
    certificate_lifetime: float = Field(
        default=397 * DAY, gt=0, description="a tenant's certificate"
    )
    certificates_per_tenant: int = Field(
        default=4, ge=2, description="certificates of one tenant that are valid together"
    )


@dataclass(frozen=True, config=_STRICT)
class Config:
    """Addresses are ``host:port``; port 0 lets the system choose."""

    host: str = Field(
        default="127.0.0.1", description="the name by which clients reach this server"
    )
    listen: str = Field(
        default="127.0.0.1:7443", description="models, keys and predictions: mutual TLS"
    )
    enroll_listen: str = Field(
        default="127.0.0.1:7444", description="enrollment with an invitation: TLS, open to anybody"
    )
    federation_listen: str = Field(
        default="127.0.0.1:8443",
        description="Flower's SuperLink; no accounts guard its control: admit only participants",
    )
    workers: int = Field(
        default=0, ge=0, le=1024, description="processes that run circuits; 0: one for each CPU"
    )
    limits: Limits = Limits()

    @property
    def worker_count(self) -> int:
        """The number of worker processes."""
        return self.workers or os.cpu_count() or 1

    @property
    def stream_window(self) -> int:
        """Rows of one stream that are read and not yet answered."""
        return self.limits.rows_in_flight or max(4, 2 * self.worker_count)

    @property
    def bootstrap_threads(self) -> int:
        """Threads inside one run of a circuit with bootstraps."""
        return self.limits.bootstrap_threads or os.cpu_count() or 1


_ADAPTER = TypeAdapter(Config)


def load_config(home: Path) -> Config:
    """The configuration of the server in ``home``; raises `InputError` that names a wrong key."""
    path = Layout.existing(home).config
    try:
        return parse_config(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {key}: {first['msg']}") from error


def parse_config(document: dict[str, Any]) -> Config:
    """The configuration in a parsed TOML document; raises pydantic's ValidationError."""
    # Strict dataclasses take no dictionaries from Python, but do from JSON.
    return _ADAPTER.validate_json(json.dumps(document, default=str))


def config_text(config: Config) -> str:
    """The ``config.toml`` that `init` writes: addresses as given, limits as comments."""
    lines = []
    for item in fields(config):
        if item.name != "limits":
            lines += [f"# {_describe(item.default)}", _toml(item.name, getattr(config, item.name))]
    lines += ["", "[limits]  # seconds and bytes; remove the # before a line to change it"]
    for item in fields(config.limits):
        lines += [f"# {_toml(item.name, getattr(config.limits, item.name))}"]
        lines[-1] += f"  # {_describe(item.default)}"
    return "\n".join(lines) + "\n"


def _describe(default: Any) -> str:
    return str(default.description) if isinstance(default, FieldInfo) else ""


def _toml(name: str, value: str | float) -> str:
    return f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
