"""`blindfit-client doctor`: what works here and what does not."""

from __future__ import annotations

from blindfit.console import HomeOption, JsonOption, emit


def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check this machine, the identity, the keys and the server, without a passphrase."""
    from blindfit.home import resolve_home
    from client_app.checkup import run_checks

    checks = run_checks(resolve_home(home))
    document = {
        "healthy": all(check.ok for check in checks),
        "checks": [{"name": c.name, "ok": c.ok, "found": c.found, "hint": c.hint} for c in checks],
    }

    def human() -> None:
        for check in checks:
            print(f"{'✓' if check.ok else '✗'} {check.name}: {check.found}")
            if check.hint:
                print(f"    → {check.hint}")

    emit(document, as_json, human)
    if not document["healthy"]:
        import typer

        raise typer.Exit(8)
