"""What ``blindfit-keys rotate`` does: each action opens no more than it needs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from blindfit.bundle import fetch_bundle
from blindfit.console import emit, say
from blindfit.errors import InputError, NotFoundError
from keys.commands import rotation_views as views
from keys.commands.connection import connected, open_store, unlocked_store
from keys.commands.rotate_many import fitting_bundle, opened_rotator
from keys.identity_rotation import abort_renewal
from keys.journal import Journal
from keys.journals import Journals
from keys.renewal import pending_renewal
from keys.rotation import Rotated, is_due, models_of
from keys.rotation import abort as abort_rotation
from keys.rotation_plan import plan_rotation
from keys.store import KeyRecord, KeyStore
from keys.without_key import advise

if TYPE_CHECKING:
    from keys.commands.rotate import Request


def rotate_model(request: Request, model: str) -> None:
    """Rotate the key of one model, if it is due; or tell what that would do."""
    store = open_store(request.home)
    record = store.primary(model)
    if record is None:
        advice = advise(store, model)
        raise NotFoundError(advice.what, hint=advice.hint)
    if request.dry_run:
        _plan(request, store, [record], model)
        return
    rotated = _rotate(request, store, [record], model)
    document = views.rotated_document(rotated[-1]) if rotated else {}
    _emit_rotated(request, rotated, {"model": model, **document})


def rotate_all(request: Request) -> None:
    """Rotate each keyset that encrypts for a model once, if it is due; or tell what that does."""
    store = open_store(request.home)
    records = [store.record(key_id) for key_id in sorted(set(store.primaries().values()))]
    if request.dry_run:
        _plan(request, store, records)
        return
    _emit_rotated(request, _rotate(request, store, records), {})


def resume(request: Request, rotation_id: str | None) -> None:
    """Go on with one rotation, or with all that were stopped."""
    journals = Journals(open_store(request.home))
    stopped = [journals.find(rotation_id)] if rotation_id else _stopped(journals)
    if not stopped:
        say("nothing to resume")
        if pending_renewal(request.home):
            say("the identity's renewal goes on by `blindfit-keys rotate --identity`")
        _emit_rotated(request, [], {})
        return
    with opened_rotator(request.home, request.passphrase_file) as rotator:
        for journal in stopped:
            rotator.resume(journal)
    _emit_rotated(request, rotator.rotated, {})


def abort(request: Request, rotation_id: str | None) -> None:
    """Give up the rotation, or the renewal of the identity if nothing else is going on."""
    journals = Journals(open_store(request.home))
    going_on = [journals.find(rotation_id)] if rotation_id else journals.all()
    if len(going_on) > 1:
        raise InputError(
            "several rotations are going on",
            hint="give the id of one, as `blindfit-keys rotate --status` shows it",
        )
    aborted = None
    if going_on:
        with connected(request.home) as (_, channel):
            store = unlocked_store(request.home, request.passphrase_file)
            aborted = abort_rotation(channel, store, going_on[0]).rotation_id
    elif abort_renewal(request.home):
        aborted = "identity"
    emit({"aborted": aborted}, request.as_json, lambda: print(f"given up: {aborted or 'nothing'}"))


def show_status(request: Request) -> None:
    """The rotations that are not over: how far, how old, and what comes next."""
    journals = Journals(open_store(request.home))
    documents = [views.status_document(j, journals.is_running(j)) for j in journals.all()]
    renewal = pending_renewal(request.home)
    if renewal:
        documents.append(views.renewal_document(renewal))
    emit({"rotations": documents}, request.as_json, lambda: views.print_status(documents))


def _rotate(
    request: Request, store: KeyStore, records: list[KeyRecord], model: str | None = None
) -> list[Rotated]:
    """With a limit of age, what was stopped is finished first, and only what is due is begun."""
    limit = request.if_older_than
    stopped = _stopped(Journals(store)) if limit is not None else []
    due = [record for record in records if limit is None or is_due(record, limit)]
    if not due and not stopped:
        say("nothing to do: no key is due, and no rotation was stopped")
        return []
    with opened_rotator(request.home, request.passphrase_file) as rotator:
        for journal in stopped:
            rotator.resume(journal)
        for record in due:
            rotator.replace(record, request.grace, model)
    return rotator.rotated


def _stopped(journals: Journals) -> list[Journal]:
    """Those that no process is at."""
    going_on = journals.all()
    running = [journal for journal in going_on if journals.is_running(journal)]
    for journal in running:
        say(f"rotation {journal.rotation_id} is running in another process")
    return [journal for journal in going_on if journal not in running]


def _plan(
    request: Request, store: KeyStore, records: list[KeyRecord], model: str | None = None
) -> None:
    limit = request.if_older_than
    if request.passphrase_file:
        unlocked_store(request.home, request.passphrase_file)  # so that a wrong one shows now
    with connected(request.home) as (identity, channel):
        fetch = partial(fetch_bundle, channel, request.home, identity.publisher_key)
        plans = []
        for record in records:
            if limit is None or is_due(record, limit):
                models = (model,) if model else models_of(store, record.key_id)
                bundle = fitting_bundle(fetch, record, models)
                plans.append(plan_rotation(channel, store, bundle, request.grace))
    emit(
        {"would_rotate": [views.plan_document(plan) for plan in plans]},
        request.as_json,
        lambda: views.print_plans(plans),
    )


def _emit_rotated(request: Request, rotated: list[Rotated], first: dict[str, object]) -> None:
    emit(
        {**first, "rotations": [views.rotated_document(each) for each in rotated]},
        request.as_json,
        lambda: views.print_rotated(rotated, open_store(request.home).primaries()),
    )


__all__ = ["abort", "resume", "rotate_all", "rotate_model", "show_status"]
