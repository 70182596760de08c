"""How rotations are shown: their JSON, and their tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from blindfit.console import print_table, say
from keys.commands.document import COLUMNS, key_row
from keys.journal import Journal
from keys.renewal import Renewal
from keys.rotation import Rotated
from keys.rotation_plan import Plan
from keys.rotation_steps import is_activated, next_steps

_SHORT = 12


def rotated_document(rotated: Rotated) -> dict[str, Any]:
    """A finished rotation as JSON; ``old_key_id`` is null where nothing was replaced."""
    return {
        "old_key_id": rotated.old.key_id if rotated.old else None,
        "new_key_id": rotated.new.key_id,
        "models": list(rotated.new.models),
    }


def print_rotated(rotated: list[Rotated], primaries: Mapping[str, str]) -> None:
    """The new and the old keys."""
    records = [record for each in rotated for record in (each.new, each.old) if record]
    if records:
        print_table("", COLUMNS, [key_row(record, primaries) for record in records])


def status_document(journal: Journal, running: bool) -> dict[str, Any]:
    """A rotation that is not over; ``step`` is the last finished one, ``age`` in seconds."""
    return {
        "id": journal.rotation_id,
        "kind": str(journal.kind),
        "models": list(journal.models),
        "running": running,
        "step": journal.step or None,
        "next": next_steps(journal)[0],
        "started": journal.started,
        "age": round(journal.age.total_seconds()),
        "can_abort": not is_activated(journal),
        "drain_until": journal.drain_until,
        "old_key_id": journal.old_key_id,
        "new_key_id": journal.new_key_id,
    }


def renewal_document(renewal: Renewal) -> dict[str, Any]:
    """A renewal of the identity, with the same members."""
    age = datetime.now(UTC) - datetime.fromisoformat(renewal.started)
    return {
        "id": "identity",
        "kind": "identity",
        "models": [],
        "running": False,
        "step": "certificate" if renewal.certificate_pem else "key",
        "next": renewal.next_step,
        "started": renewal.started,
        "age": round(age.total_seconds()),
        "can_abort": True,
        "drain_until": None,
        "old_key_id": None,
        "new_key_id": None,
    }


def print_status(documents: list[dict[str, Any]]) -> None:
    """A line for each rotation that is not over, and what to do."""
    if not documents:
        say("no rotation is going on")
        return
    rows = [
        [
            document["id"],
            ", ".join(document["models"]) or document["kind"],
            "running" if document["running"] else "stopped",
            document["step"] or "–",
            document["next"],
            str(timedelta(seconds=document["age"])),
        ]
        for document in documents
    ]
    print_table("", ["id", "for", "process", "finished", "next", "age"], rows)
    stopped = [document for document in documents if not document["running"]]
    if any(document["models"] for document in stopped):
        say("go on with `blindfit-keys rotate --resume`")
    if any(document["kind"] == "identity" for document in stopped):
        say("go on with the identity's by `blindfit-keys rotate --identity`")
    if any(document["can_abort"] for document in stopped):
        say("or give up what has activated nothing yet: `blindfit-keys rotate --abort ID`")


def plan_document(plan: Plan) -> dict[str, Any]:
    """What a rotation would do; sizes in bytes."""
    return {
        "models": list(plan.models),
        "params_id": plan.params_id,
        "old_key_id": plan.old_key_id,
        "resumes": plan.resumes,
        "evaluation_bytes": plan.evaluation_bytes,
        "held_by_server": plan.held,
        "steps": list(plan.steps),
    }


def print_plans(plans: list[Plan]) -> None:
    """The steps that would be done, in words."""
    if not plans:
        say("nothing to do: no key is due")
    for plan in plans:
        old = plan.old_key_id[:_SHORT] if plan.old_key_id else "none"
        doing = f"go on with rotation {plan.resumes}" if plan.resumes else f"replace key {old}"
        print(f"{', '.join(plan.models)}: would {doing}; nothing was changed")
        print(f"  the bundle is good, the server answers and keeps {plan.held} keys for you;")
        print(f"  the new evaluation key takes {plan.evaluation_bytes} bytes; whether the server")
        print("  has room for it shows when the upload begins. Steps:")
        for step in plan.steps:
            print(f"  · {step}")


__all__ = [
    "plan_document",
    "print_plans",
    "print_rotated",
    "print_status",
    "renewal_document",
    "rotated_document",
    "status_document",
]
