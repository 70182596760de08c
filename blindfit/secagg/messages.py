"""The stages of secure aggregation as messages: participants by their index in the roster.

A table is two lists of the same length, indices and bytes. Whatever is not as agreed raises
`UpdateError`; what the bytes say is for `client_app.secure_round` and `server_app.secure_sum`.
"""

from __future__ import annotations

from collections.abc import Mapping

from flwr.app import RecordDict
from pydantic import ValidationError

from blindfit.errors import UpdateError
from blindfit.federation_messages import message_of, record_of
from blindfit.roster import MAX_MEMBERS, Member, Roster
from blindfit.secagg.round_id import KEY_BYTES
from blindfit.secagg.statements import MAX_SIGNATURE_BYTES, Advertisement

_ADVERTISED, _ENVELOPES, _SURVIVORS = "advertised", "envelopes", "survivors"
_SIGNATURES, _SELF_SEEDS, _KEY_SEEDS = "signatures", "self-seeds", "key-seeds"
_FIXED = 3 * KEY_BYTES + 8  # two keys, a commitment, the last revealed round


def write_roster(content: RecordDict, roster: Roster) -> RecordDict:
    """Adds who takes part; returns ``content``."""
    record = record_of(content)
    record["names"] = [member.name for member in roster.members]
    record["keys"] = [member.key for member in roster.members]
    return content


def read_roster(content: RecordDict) -> Roster:
    """Who takes part, as the coordinator says."""
    record = record_of(content)
    names, keys = record.get("names"), record.get("keys")
    if not (isinstance(names, list) and isinstance(keys, list) and len(names) == len(keys)):
        raise UpdateError("the coordinator does not say who takes part")
    try:
        members = [Member(name=n, key=k) for n, k in zip(names, keys, strict=True)]
        return Roster(members=tuple(members))
    except ValidationError as error:
        raise UpdateError(f"the coordinator's list of participants: {_first(error)}") from error


def write_advertisements(
    content: RecordDict, advertisements: Mapping[int, Advertisement]
) -> RecordDict:
    """Adds keys; returns ``content``. A participant's own reply has the index 0."""
    return _write_table(
        content,
        _ADVERTISED,
        {index: _advertisement_bytes(a) for index, a in advertisements.items()},
    )


def read_advertisements(content: RecordDict) -> dict[int, Advertisement]:
    """Keys by participant."""
    return {
        index: _advertisement(data) for index, data in _read_table(content, _ADVERTISED).items()
    }


def write_envelopes(content: RecordDict, envelopes: Mapping[int, bytes]) -> RecordDict:
    """Adds sealed shares, by the other participant; returns ``content``."""
    return _write_table(content, _ENVELOPES, envelopes)


def read_envelopes(content: RecordDict) -> dict[int, bytes]:
    """Sealed shares by the other participant."""
    return _read_table(content, _ENVELOPES)


def write_survivors(content: RecordDict, survivors: frozenset[int]) -> RecordDict:
    """Adds whose inputs are added up; returns ``content``."""
    record_of(content)[_SURVIVORS] = sorted(survivors)
    return content


def read_survivors(content: RecordDict) -> frozenset[int]:
    """Whose inputs are added up."""
    return frozenset(_indices(record_of(content).get(_SURVIVORS)))


def write_signatures(content: RecordDict, signatures: Mapping[int, bytes]) -> RecordDict:
    """Adds confirmations; returns ``content``. A participant's own reply has the index 0."""
    return _write_table(content, _SIGNATURES, signatures)


def read_signatures(content: RecordDict) -> dict[int, bytes]:
    """Confirmations by participant."""
    return _read_table(content, _SIGNATURES)


def write_revealed(self_seeds: Mapping[int, bytes], key_seeds: Mapping[int, bytes]) -> RecordDict:
    """A participant's shares of survivors' self masks, and of the others' mask keys."""
    content = _write_table(message_of(), _SELF_SEEDS, self_seeds)
    return _write_table(content, _KEY_SEEDS, key_seeds)


def read_revealed(content: RecordDict) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """Shares of self masks and of mask keys, by owner."""
    return _read_table(content, _SELF_SEEDS), _read_table(content, _KEY_SEEDS)


def read_only(table: Mapping[int, object]) -> object:
    """What a participant says of itself: the one entry of ``table``."""
    if set(table) != {0}:
        raise UpdateError("the reply has not exactly one entry")
    return table[0]


def _write_table(content: RecordDict, name: str, table: Mapping[int, bytes]) -> RecordDict:
    indices = sorted(table)
    record = record_of(content)
    record[f"{name}-of"], record[name] = indices, [table[index] for index in indices]
    return content


def _read_table(content: RecordDict, name: str) -> dict[int, bytes]:
    record = record_of(content)
    indices, values = _indices(record.get(f"{name}-of")), record.get(name)
    if not (isinstance(values, list) and len(values) == len(indices)):
        raise UpdateError(f"the table of {name} is not one")
    if not all(isinstance(value, bytes) for value in values):
        raise UpdateError(f"the table of {name} does not hold bytes")
    return dict(zip(indices, values, strict=True))


def _indices(values: object) -> list[int]:
    if not isinstance(values, list) or len(values) > MAX_MEMBERS:
        raise UpdateError("a list of participants is missing or too long")
    if not all(type(value) is int and 0 <= value < MAX_MEMBERS for value in values):
        raise UpdateError("a list of participants holds something else")
    if len(set(values)) < len(values):
        raise UpdateError("a participant is listed twice")
    return values


def _advertisement_bytes(advertisement: Advertisement) -> bytes:
    return b"".join(
        (
            advertisement.cipher_key,
            advertisement.mask_key,
            advertisement.commitment,
            advertisement.revealed.to_bytes(8, "big"),
            advertisement.signature,
        )
    )


def _advertisement(data: bytes) -> Advertisement:
    if not _FIXED < len(data) <= _FIXED + MAX_SIGNATURE_BYTES:
        raise UpdateError("advertised keys have another length")
    starts = range(0, 3 * KEY_BYTES, KEY_BYTES)
    cipher_key, mask_key, commitment = (data[start : start + KEY_BYTES] for start in starts)
    revealed = int.from_bytes(data[3 * KEY_BYTES : _FIXED], "big")
    return Advertisement(cipher_key, mask_key, commitment, revealed, data[_FIXED:])


def _first(error: ValidationError) -> str:
    return str(error.errors(include_url=False)[0]["msg"])


__all__ = [
    "read_advertisements",
    "read_envelopes",
    "read_only",
    "read_revealed",
    "read_roster",
    "read_signatures",
    "read_survivors",
    "write_advertisements",
    "write_envelopes",
    "write_revealed",
    "write_roster",
    "write_signatures",
    "write_survivors",
]
