"""Every error that Blindfit raises on purpose, grouped by who is at fault.

An error says what is wrong (``str(error)``) and what to do next (``error.hint``). ``reason`` is the
stable name that travels over gRPC (see ``status.py``), ``exit_code`` what a command ends with,
``action`` what a program can do about it: "upload", "activate", "rotate", "create", "enroll", or
nothing that it could do by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar


class BlindfitError(Exception):
    """The root of the tree. ``details`` are short public facts, such as a key_id."""

    reason: ClassVar[str] = "INTERNAL"
    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = ""
    action: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", details: dict[str, str] | None = None):
        super().__init__(message)
        self.hint = hint or self.default_hint
        self.details = dict(details or {})


# -- the caller's input (exit code 2) ------------------------------------------------------------


class InputError(BlindfitError):
    """Something the caller gave is wrong; nothing was changed."""

    reason = "INVALID_INPUT"
    exit_code = 2


class StudyError(InputError):
    """A study file that does not follow the contract."""

    reason = "INVALID_STUDY"


class RowsError(InputError):
    """Rows that do not follow the schema; names row, column, value and bound."""

    reason = "INVALID_ROWS"


class CiphertextError(InputError):
    """A ciphertext that the circuit does not take."""

    reason = "INVALID_CIPHERTEXT"
    default_hint = "encrypt for this model version with `blindfit-client predict`"


# -- something that is not there (exit code 3) ---------------------------------------------------


class NotFoundError(BlindfitError):
    """What was asked for does not exist, or not for the one who asks."""

    reason = "NOT_FOUND"
    exit_code = 3


class UnknownModelError(NotFoundError):
    """No such model or model version."""

    reason = "UNKNOWN_MODEL"
    default_hint = "run `blindfit-client models` to see what is served"


# -- who may do what (exit code 4) ---------------------------------------------------------------


class AccessError(BlindfitError):
    """The caller is not who it should be."""

    reason = "PERMISSION_DENIED"
    exit_code = 4
    action = "enroll"


class PassphraseError(AccessError):
    """The passphrase does not open the file."""

    reason = "WRONG_PASSPHRASE"
    action = ""
    default_hint = "try again; without the passphrase a sealed keyset cannot be opened"


class NotEnrolledError(AccessError):
    """This home has no identity for a server."""

    reason = "NOT_ENROLLED"
    default_hint = "ask the operator for an invitation, then run `blindfit-client enroll FILE`"


class InvitationError(AccessError):
    """The invitation is unknown, used or expired."""

    reason = "INVALID_INVITATION"
    action = ""
    default_hint = "ask the operator for a new one (`blindfit-server tenants invite NAME`)"


# -- somebody tampered, or something broke (exit code 5) -----------------------------------------


class IntegrityError(BlindfitError):
    """Bytes are not what they were signed or sealed to be."""

    reason = "TAMPERED"
    exit_code = 5


class BundleError(IntegrityError):
    """A bundle whose signature, hashes or members are wrong."""

    reason = "TAMPERED_BUNDLE"
    default_hint = "do not use it; ask the operator, and compare the publisher key's fingerprint"


class WeakParametersError(IntegrityError):
    """Crypto parameters under the 128-bit floor."""

    reason = "WEAK_PARAMETERS"
    default_hint = "do not create keys for this model; tell the operator"


class SealError(IntegrityError):
    """A sealed file that was changed, cut or belongs to another keyset."""

    reason = "TAMPERED_KEYSET"
    default_hint = "restore the keyset from a backup"


class ResponseMismatchError(IntegrityError):
    """A response that answers another request, key or model version."""

    reason = "RESPONSE_MISMATCH"
    default_hint = "nothing was decrypted; tell the operator of the server"


# -- keys (exit code 6) --------------------------------------------------------------------------


class KeyStateError(BlindfitError):
    """The key cannot be used for this, in the state it is in."""

    reason = "KEY_STATE"
    exit_code = 6


class KeyNotUploadedError(KeyStateError):
    """The server does not have this evaluation key for this tenant."""

    reason = "KEY_UNKNOWN"
    default_hint = "run `blindfit-keys create --model MODEL`, or upload it again"
    action = "upload"


class KeyStagedError(KeyStateError):
    """The evaluation key is complete, but was never made the active one."""

    reason = "KEY_STAGED"
    default_hint = "finish what was begun: `blindfit-keys rotate --resume`"
    action = "activate"


class KeyRevokedError(KeyStateError):
    """The evaluation key was revoked, and stays so."""

    reason = "KEY_REVOKED"
    default_hint = "run `blindfit-keys rotate --model MODEL` for a new one"
    action = "rotate"


class KeyExpiredError(KeyStateError):
    """The evaluation key was active for as long as the server lets one be."""

    reason = "KEY_EXPIRED"
    default_hint = "run `blindfit-keys rotate --model MODEL` for a new one"
    action = "rotate"


class KeyMismatchError(KeyStateError):
    """The keyset was made for other crypto parameters than the model's."""

    reason = "KEY_PARAMETERS"
    default_hint = "run `blindfit-keys create --model MODEL`"
    action = "create"


# -- limits and availability (exit codes 7 and 8) ------------------------------------------------


class LimitError(BlindfitError):
    """More than the configured limit."""

    reason = "LIMIT_EXCEEDED"
    exit_code = 7


class UnavailableError(BlindfitError):
    """Not now: unreachable, draining, overloaded, or a worker that died."""

    reason = "UNAVAILABLE"
    exit_code = 8
    default_hint = "try again; `blindfit-client doctor` tells what is reachable"


# -- training and publishing (exit code 9) -------------------------------------------------------


class TrainingError(BlindfitError):
    """A federated training that could not go on; the last good model is on disk."""

    reason = "TRAINING_FAILED"
    exit_code = 9


class UpdateError(TrainingError):
    """A participant's update that was refused."""

    reason = "BAD_UPDATE"


class ProtocolError(TrainingError):
    """Secure aggregation was not followed by somebody: this participant refuses to go on."""

    reason = "PROTOCOL_REFUSED"
    default_hint = "nothing of this participant can be read from the round; ask the coordinator"


class TooFewError(TrainingError):
    """A stage of a round that too few participants survived; ``refused`` says who, and why not."""

    reason = "TOO_FEW_PARTICIPANTS"
    refused: Mapping[int, str] = MappingProxyType({})  # by Flower's node id


class BudgetError(TrainingError):
    """A sum that would tell more about a participant's rows than was agreed; it was not sent."""

    reason = "PRIVACY_BUDGET"
    default_hint = "ask the coordinator for a new attempt at the round"


class PublishError(BlindfitError):
    """A model that did not become a bundle."""

    reason = "NOT_PUBLISHED"
    exit_code = 9


def exit_codes() -> dict[int, str]:
    """The table of the documentation: exit code to its meaning."""
    return {
        0: "done",
        1: "unexpected error",
        2: "wrong usage or input; nothing was changed",
        3: "not found",
        4: "not allowed: passphrase, certificate or invitation",
        5: "tampered or damaged bytes, weak parameters",
        6: "the key cannot be used in its state",
        7: "a limit was exceeded",
        8: "unavailable; try again",
        9: "training or publishing failed",
        130: "interrupted",
    }
