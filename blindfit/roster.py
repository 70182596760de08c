"""Who may take part in a study: names and long-term keys, in an order that all parties share."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cached_property, lru_cache
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Field, field_validator, model_validator

from blindfit.errors import InputError
from blindfit.schema import Strict

MEMBER_NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$"
MAX_MEMBERS = 100_000
_MAX_KEY_TEXT = 1_000  # a P-384 key has 180 characters; the rest may be a comment


class Member(Strict):
    """``[[participants]]`` of a study: a name and a P-384 public key in OpenSSH's form."""

    name: str = Field(pattern=MEMBER_NAME)
    key: str = Field(max_length=_MAX_KEY_TEXT)

    @field_validator("key")
    @classmethod
    def _normal(cls, value: str) -> str:
        try:
            return normal_participant_key(value)
        except InputError as error:
            raise ValueError(str(error)) from error

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The key that signs what this participant says in a round."""
        return load_participant_key(self.key)


class Roster(Strict):
    """The participants of a training; a participant's index is its place in ``members``."""

    members: tuple[Member, ...] = Field(min_length=1, max_length=MAX_MEMBERS)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        require_distinct(self.members)
        return self

    def __len__(self) -> int:
        return len(self.members)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and keys, in hex."""
        lines = "".join(f"{member.name}\n{member.key}\n" for member in self.members)
        return hashlib.sha256(b"blindfit roster v1\n" + lines.encode()).hexdigest()

    def index_of(self, key: str) -> int | None:
        """The index of the participant with this key (OpenSSH, without a comment), if any."""
        return self._index.get(key)

    def name(self, index: int) -> str:
        """The name of a participant."""
        return self.members[index].name

    @cached_property
    def _index(self) -> dict[str, int]:
        return {member.key: index for index, member in enumerate(self.members)}


def make_roster(keys: dict[str, str]) -> Roster:
    """The roster of participants given as name to OpenSSH public key, sorted by name."""
    return Roster(members=tuple(Member(name=name, key=keys[name]) for name in sorted(keys)))


def require_distinct(members: tuple[Member, ...]) -> None:
    """Raises ValueError if two members share a name or a key."""
    for field in ("name", "key"):
        counts = Counter(getattr(member, field) for member in members)
        value, count = counts.most_common(1)[0] if counts else ("", 0)
        if count > 1:
            raise ValueError(f"two participants have the same {field}: {value}")


def key_fingerprint(member: Member) -> str:
    """A participant's key as people compare it: 32 hex digits of its SHA-256, in groups."""
    digest = hashlib.sha256(member.key.encode()).hexdigest()[:32]
    return " ".join(digest[start : start + 4] for start in range(0, 32, 4))


@lru_cache(maxsize=4096)
def load_participant_key(text: str) -> ec.EllipticCurvePublicKey:
    """A P-384 public key in OpenSSH's form; raises `InputError` for anything else."""
    try:
        key = serialization.load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"the participant's key cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise InputError("the participant's key must be an EC key on P-384")
    return key


def normal_participant_key(text: str) -> str:
    """An OpenSSH public key without its comment; raises `InputError` unless it is on P-384."""
    return participant_key_text(load_participant_key(text))


def participant_key_text(key: ec.EllipticCurvePublicKey) -> str:
    """A public key in OpenSSH's form, without a comment."""
    form = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return key.public_bytes(*form).decode()


__all__ = [
    "MAX_MEMBERS",
    "Member",
    "Roster",
    "key_fingerprint",
    "load_participant_key",
    "make_roster",
    "normal_participant_key",
    "participant_key_text",
    "require_distinct",
]
