"""The coordinator's part in one secure sum: relays what participants say, and unmasks the sum.

No input or output. Whatever a participant says wrongly raises `UpdateError`, and leaves it out of
the stages that follow; too few that are left raise `TrainingError`, and the round has come to
nothing. Bonawitz et al. 2017, figure 4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from blindfit.errors import TrainingError, UpdateError
from blindfit.secagg.envelopes import ENVELOPE_BYTES
from blindfit.secagg.group import Group
from blindfit.secagg.masks import Words, mask_private_key, pairwise_mask, self_mask
from blindfit.secagg.round_id import RoundId
from blindfit.secagg.sharing import SECRET_BYTES, combine
from blindfit.secagg.statements import Advertisement, signed_survivors


class SecureSum:
    """The sum of inputs over the participants of ``group`` that survive the round."""

    def __init__(self, round_id: RoundId, group: Group) -> None:
        self.round_id = round_id
        self._group = group
        self._binding = b""
        self._keys: dict[int, Advertisement] = {}
        self._envelopes: dict[int, dict[int, bytes]] = {}  # by sender, then by recipient
        self._survivors: set[int] = set()
        self._sum: Words = np.zeros(0, np.uint64)
        self._signatures: dict[int, bytes] = {}
        self._self_shares: dict[int, dict[int, bytes]] = {}  # by owner, then by holder
        self._key_shares: dict[int, dict[int, bytes]] = {}

    @property
    def advertisers(self) -> frozenset[int]:
        """Those whose keys came."""
        return frozenset(self._keys)

    @property
    def members(self) -> frozenset[int]:
        """Those who shared their secrets: their masks are in everybody's input."""
        return frozenset(self._envelopes)

    @property
    def needs_confirmation(self) -> bool:
        """Whether survivors have to be confirmed: some dropped out, or the graph is sparse."""
        return self._survivors != self.members or not self._group.topology.is_complete

    @property
    def survivors(self) -> frozenset[int]:
        """Those whose masked inputs are in the sum."""
        return frozenset(self._survivors)

    # -- what participants say, one stage after the other ------------------------------------

    def advertised(self, index: int, advertisement: Advertisement) -> None:
        """Keys of a participant for this round."""
        key = self._group.roster.members[index].public_key()
        if not advertisement.is_of(key, self.round_id):
            raise UpdateError("keys that are not signed for this round")
        self._keys[index] = advertisement

    def shared(self, index: int, envelopes: Mapping[int, bytes]) -> None:
        """Sealed shares of a participant, by recipient."""
        if set(envelopes) != set(self.keys_for(index)) - {index}:
            raise UpdateError("shares that are not for the participants whose keys it got")
        if any(len(envelope) != ENVELOPE_BYTES for envelope in envelopes.values()):
            raise UpdateError("shares of another length")
        self._envelopes[index] = dict(envelopes)

    def asking(self, binding: bytes) -> None:
        """What inputs are asked for (`blindfit.federation_messages.binding_of`)."""
        self._binding = binding

    def masked(self, index: int, words: Words) -> None:
        """A masked input; only the sum of all is kept."""
        if index in self._survivors or index not in self._envelopes:
            raise UpdateError("an input that was not asked for")
        self._sum = self._sum + words if self._survivors else words.copy()
        self._survivors.add(index)

    def confirmed(self, index: int, signature: bytes) -> None:
        """A participant's signature of the survivors."""
        key, size = self._group.roster.members[index].public_key(), self._group.size
        if not signed_survivors(key, signature, self.round_id, self._survivors, size):
            raise UpdateError("other survivors were confirmed")
        self._signatures[index] = signature

    def revealed(
        self, index: int, self_seeds: Mapping[int, bytes], key_seeds: Mapping[int, bytes]
    ) -> None:
        """A participant's shares of survivors' self masks and of the others' mask keys."""
        near = self._members_near(index)
        if set(self_seeds) != near & self._survivors or set(key_seeds) != near - self._survivors:
            raise UpdateError("shares of others than were asked for")
        if any(len(s) != SECRET_BYTES for s in (*self_seeds.values(), *key_seeds.values())):
            raise UpdateError("shares of another length")
        for shares, kept in ((self_seeds, self._self_shares), (key_seeds, self._key_shares)):
            for owner, share in shares.items():
                kept.setdefault(owner, {})[index] = share

    # -- what each of them is told ------------------------------------------------------------

    def keys_for(self, index: int) -> dict[int, Advertisement]:
        """The advertised keys of a participant's holders."""
        holders = self._group.topology.holders(index)
        return {holder: self._keys[holder] for holder in holders if holder in self._keys}

    def envelopes_for(self, index: int) -> dict[int, bytes]:
        """Shares that others sealed for a participant, by sender."""
        near = self._members_near(index) - {index}
        return {sender: self._envelopes[sender][index] for sender in sorted(near)}

    def signatures_for(self, index: int) -> dict[int, bytes]:
        """The confirmations of a participant's holders."""
        holders = self._group.topology.holders(index)
        return {
            holder: self._signatures[holder] for holder in holders if holder in self._signatures
        }

    # -- the sum ------------------------------------------------------------------------------

    def total(self) -> Words:
        """The sum of the survivors' inputs modulo 2^64, unmasked.

        Raises `TrainingError` when shares are too few or wrong.
        """
        total = self._sum.copy()
        for index in sorted(self._survivors):
            seed = self._seed_of(self._self_shares, index)
            if hashlib.sha256(seed).digest() != self._keys[index].commitment:
                raise self._wrong(index)
            total -= self_mask(self.round_id, seed, len(total))
        for index in sorted(self._envelopes.keys() - self._survivors):
            self._take_out(index, total)
        return total

    def _take_out(self, index: int, total: Words) -> None:
        """Remove the masks that survivors share with a participant that dropped out."""
        near = self._members_near(index) & self._survivors
        if not near:
            return
        private = mask_private_key(self.round_id, self._seed_of(self._key_shares, index))
        if private.public_key().public_bytes_raw() != self._keys[index].mask_key:
            raise self._wrong(index)
        for other in sorted(near):
            public = X25519PublicKey.from_public_bytes(self._keys[other].mask_key)
            pair = (index, other)
            total += pairwise_mask(self.round_id, private, public, pair, self._binding, len(total))

    def _seed_of(self, kept: dict[int, dict[int, bytes]], owner: int) -> bytes:
        topology = self._group.topology
        try:
            return combine(kept.get(owner, {}), topology.share_threshold, topology.holders(owner))
        except ValueError as error:
            raise TrainingError(
                f"round {self.round_id.round}: the masks of {self._group.roster.name(owner)} "
                f"cannot be removed: {error}",
                hint="nothing was learned; the next round starts afresh",
            ) from error

    def _wrong(self, owner: int) -> TrainingError:
        return TrainingError(
            f"round {self.round_id.round}: somebody revealed a wrong share of "
            f"{self._group.roster.name(owner)}; nothing was learned"
        )

    def _members_near(self, index: int) -> set[int]:
        return set(self._group.topology.holders(index)) & self._envelopes.keys()


__all__ = ["SecureSum"]
