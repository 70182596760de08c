"""One participant's part in one secure sum, as a state machine without input or output.

The order rules, and each method may be called once: advertise, share, mask, confirm, reveal.
Confirm may be left out where everybody survived and everybody is everybody's neighbour: then
nothing but self masks is revealed, and a coordinator that told others of a dropout would need more
than half of the participants to confirm that, who then do not reveal that self mask
(docs/secure-aggregation.md).

What a coordinator could gain by another order, by other keys or by other sets of participants is
refused with the reason; after a refusal, as after the end, the secrets are forgotten and the round
is over. Bonawitz et al. 2017, figure 4.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from blindfit.errors import ProtocolError
from blindfit.secagg.envelopes import open_shares, seal_shares
from blindfit.secagg.group import Group
from blindfit.secagg.masks import Words, mask_private_key, pairwise_mask, self_mask
from blindfit.secagg.round_id import RoundId
from blindfit.secagg.sharing import SECRET_BYTES, split
from blindfit.secagg.statements import Advertisement, sign_survivors, signed_survivors

_STAGES = ("advertise", "share", "mask", "confirm", "reveal")


@dataclass(frozen=True)
class Revealed:
    """Shares that unmask a sum: of survivors' self masks, and of the others' mask keys."""

    self_seeds: dict[int, bytes]
    key_seeds: dict[int, bytes]


class _Secrets:
    """What must not outlive the round."""

    def __init__(self, round_id: RoundId) -> None:
        self.key_seed, self.self_seed = os.urandom(SECRET_BYTES), os.urandom(SECRET_BYTES)
        self.mask_key = mask_private_key(round_id, self.key_seed)
        self.cipher_key = X25519PrivateKey.generate()
        self.held: dict[int, tuple[bytes, bytes]] = {}  # shares of others, and the own ones


class SecureRound:
    """The round ``round_id`` as participant ``me`` of ``group``, who signs with ``identity``."""

    def __init__(
        self, round_id: RoundId, group: Group, me: int, identity: ec.EllipticCurvePrivateKey
    ) -> None:
        self.round_id = round_id
        self._group, self._me, self._identity = group, me, identity
        self._holders = group.topology.holders(me)
        self._needed = group.topology.share_threshold
        self._secrets: _Secrets | None = _Secrets(round_id)
        self._advertised: Advertisement | None = None
        self._keys: dict[int, Advertisement] = {}
        self._members: frozenset[int] = frozenset()  # of the holders: whose shares came
        self._survivors: frozenset[int] = frozenset()
        self._next = 0

    @property
    def over(self) -> bool:
        """Whether the secrets are forgotten."""
        return self._secrets is None

    @property
    def members(self) -> frozenset[int]:
        """The holders whose masks are in this participant's input, itself among them."""
        return self._members

    def last_revealed(self) -> dict[int, int]:
        """The last round of which each of `members` says that it revealed shares, by index."""
        return {index: self._keys[index].revealed for index in self._members}

    def forget(self) -> None:
        """Erase the secrets, as well as Python can; nothing of the round can be revealed then."""
        self._secrets = None

    def advertise(self, revealed: int = 0) -> Advertisement:
        """This round's public keys, signed; ``revealed`` is the last round that was revealed."""
        secrets = self._step("advertise")
        keys = (
            secrets.cipher_key.public_key().public_bytes_raw(),
            secrets.mask_key.public_key().public_bytes_raw(),
            hashlib.sha256(secrets.self_seed).digest(),
        )
        self._advertised = Advertisement.sign(self._identity, self.round_id, keys, revealed)
        return self._advertised

    def share(self, advertisements: Mapping[int, Advertisement]) -> dict[int, bytes]:
        """Sealed shares for the holders among those who advertised, by index.

        ``advertisements`` are those of this participant's holders, its own among them.
        """
        secrets = self._step("share")
        try:
            self._check_keys(advertisements)
            self._keys = dict(advertisements)
            key_shares = split(secrets.key_seed, self._needed, self._holders)
            self_shares = split(secrets.self_seed, self._needed, self._holders)
            shares = {i: (key_shares[i], self_shares[i]) for i in self._holders}
            secrets.held[self._me] = shares[self._me]
            return {i: self._seal(secrets, i, shares[i]) for i in self._keys if i != self._me}
        except ProtocolError:
            self.forget()
            raise

    def mask(self, envelopes: Mapping[int, bytes], words: Words, binding: bytes) -> Words:
        """``words`` (length,) plus masks that only the sum over all survivors gets rid of.

        ``envelopes`` are the sealed shares of the others, by index: who sent one is masked with.
        ``binding`` stands for what was asked (`blindfit.federation_messages.binding_of`).
        """
        secrets = self._step("mask")
        try:
            self._take_shares(secrets, envelopes)
        except ProtocolError:
            self.forget()
            raise
        masked = words + self_mask(self.round_id, secrets.self_seed, len(words))
        for other in self._members - {self._me}:
            masked += self._pairwise(secrets, other, binding, len(words))
        return masked

    def confirm(self, survivors: frozenset[int]) -> bytes:
        """A signature that ``survivors`` are those whose inputs are added up."""
        self._step("confirm")
        try:
            self._check_survivors(survivors)
        except ProtocolError:
            self.forget()
            raise
        self._survivors = survivors
        return sign_survivors(self._identity, self.round_id, survivors, self._group.size)

    def reveal(self, signatures: Mapping[int, bytes]) -> Revealed:
        """Shares that unmask the sum of the confirmed survivors, and nothing else.

        ``signatures`` are those of holders that confirmed, by index; without any, everybody
        survived. The secrets are gone then.
        """
        unconfirmed = _STAGES[self._next : self._next + 1] == ("confirm",)
        if unconfirmed and not signatures and self._group.topology.is_complete:
            secrets = self._step("reveal", instead_of="confirm")
            self._survivors = self._members
        else:
            secrets = self._step("reveal")
            self.forget()
            self._check_signatures(signatures)
        self.forget()
        held = {index: secrets.held[index] for index in self._members}
        return Revealed(
            self_seeds={i: own for i, (_, own) in held.items() if i in self._survivors},
            key_seeds={i: key for i, (key, _) in held.items() if i not in self._survivors},
        )

    def _step(self, name: str, instead_of: str = "") -> _Secrets:
        expected = _STAGES[self._next] if self._next < len(_STAGES) else "nothing"
        if self._secrets is None or expected != (instead_of or name):
            over = self._secrets is None
            self.forget()
            raise ProtocolError(
                f"round {self.round_id.round}: asked to {name} "
                + ("when the round was over" if over else f"when it was time to {expected}")
            )
        self._next += 1
        return self._secrets

    def _check_keys(self, advertisements: Mapping[int, Advertisement]) -> None:
        if strangers := set(advertisements) - set(self._holders):
            raise self._refusal(f"keys of {len(strangers)} that are no neighbours here")
        if advertisements.get(self._me) != self._advertised:
            raise self._refusal("this participant's own keys were left out or exchanged")
        for index, advertisement in advertisements.items():
            member = self._group.roster.members[index]
            if not advertisement.is_of(member.public_key(), self.round_id):
                raise self._refusal(f"keys that {member.name} did not sign for this round")
        keys = [a.mask_key for a in advertisements.values()]
        keys += [a.cipher_key for a in advertisements.values()]
        if len(set(keys)) < len(keys):
            raise self._refusal("two participants with the same key")
        self._require(len(advertisements), "advertised keys")

    def _take_shares(self, secrets: _Secrets, envelopes: Mapping[int, bytes]) -> None:
        if strangers := set(envelopes) - (set(self._keys) - {self._me}):
            raise self._refusal(f"shares of {len(strangers)} that advertised no keys here")
        self._require(len(envelopes) + 1, "sent shares")
        for index, envelope in envelopes.items():
            try:
                public = X25519PublicKey.from_public_bytes(self._keys[index].cipher_key)
                way = (index, self._me)
                held = open_shares(self.round_id, secrets.cipher_key, public, way, envelope)
            except ValueError as error:
                name = self._group.roster.name(index)
                raise self._refusal(f"shares that {name} did not seal for this one") from error
            secrets.held[index] = held
        self._members = frozenset((self._me, *envelopes))

    def _check_survivors(self, survivors: frozenset[int]) -> None:
        size = self._group.size
        if not all(0 <= index < size for index in survivors):
            raise self._refusal("survivors that nobody knows")
        if self._me not in survivors:
            raise self._refusal("survivors without this participant, which sent its input")
        near = survivors & set(self._holders)
        if strangers := near - self._members:
            name = self._group.roster.name(min(strangers))
            raise self._refusal(f"{name} among the survivors, whose mask is in no input here")
        if len(survivors) < self._group.threshold:
            raise self._refusal(
                f"{len(survivors)} survivors; the threshold is {self._group.threshold}"
            )
        self._require(len(near), "survived")

    def _check_signatures(self, signatures: Mapping[int, bytes]) -> None:
        near = self._survivors & self._members
        if strangers := set(signatures) - near:
            raise self._refusal(f"confirmations of {len(strangers)} that did not survive here")
        for index, signature in signatures.items():
            member = self._group.roster.members[index]
            if not signed_survivors(
                member.public_key(), signature, self.round_id, self._survivors, self._group.size
            ):
                raise self._refusal(f"{member.name} confirmed other survivors, or another round")
        self._require(len(signatures), "confirmed the same survivors")

    def _pairwise(self, secrets: _Secrets, other: int, binding: bytes, length: int) -> Words:
        public = X25519PublicKey.from_public_bytes(self._keys[other].mask_key)
        try:
            pair = (self._me, other)
            return pairwise_mask(self.round_id, secrets.mask_key, public, pair, binding, length)
        except ValueError as error:  # a key of small order
            self.forget()
            raise self._refusal(
                f"a key of {self._group.roster.name(other)} that is none"
            ) from error

    def _seal(self, secrets: _Secrets, index: int, shares: tuple[bytes, bytes]) -> bytes:
        public = X25519PublicKey.from_public_bytes(self._keys[index].cipher_key)
        way = (self._me, index)
        try:
            return seal_shares(self.round_id, secrets.cipher_key, public, way, shares)
        except ValueError as error:  # a key of small order
            name = self._group.roster.name(index)
            raise self._refusal(f"a key of {name} that is none") from error

    def _require(self, count: int, what: str) -> None:
        if count < self._needed:
            raise self._refusal(f"{count} of this one's neighbours {what}; {self._needed} must")

    def _refusal(self, what: str) -> ProtocolError:
        return ProtocolError(f"round {self.round_id.round}: the coordinator came with {what}")


__all__ = ["Revealed", "SecureRound"]
