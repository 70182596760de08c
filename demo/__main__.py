"""Tell the story, then report it: build/demo/report.json, report.html and a table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from blindfit.console import say
from demo.findings import examine
from demo.page import write_page
from demo.programs import CommandFailedError
from demo.story import tell
from demo.table import print_findings

FOLDER = Path("build") / "demo"


def main() -> int:
    """Run the demo; the exit code is 1 if a promise was not kept."""
    say("Blindfit's demo: train on data nobody shares, predict on rows nobody else can read.\n")
    try:
        story = tell(FOLDER.resolve())
    except CommandFailedError as error:
        say(f"\nthe demo stopped: {error}")
        return 1
    except KeyboardInterrupt:
        say("\ninterrupted; everything that was started has been ended")
        return 130
    say("· comparing, and searching all that the server received and stored\n")
    findings = examine(story)
    (FOLDER / "report.json").write_text(json.dumps(findings.document, indent=2) + "\n")
    write_page(findings, FOLDER / "report.html")
    print_findings(findings)
    broken = _broken_promises(findings.document, findings.seen.secrets)
    for promise in broken:
        say(f"✗ {promise}")
    return 1 if broken else 0


def _broken_promises(document: dict, secrets: list[str]) -> list[str]:  # type: ignore[type-arg]
    accuracy, rotation = document["accuracy"], document["rotation"]
    promises = {
        "encrypted accuracy is at least 0.93": accuracy["encrypted"] >= 0.93,
        "every encrypted prediction equals the quantized one": document["encrypted_matches_clear"]
        == 1.0,
        "no prediction failed during the rotation": rotation["failed"] == 0
        and rotation["predictions_during"] > 0
        and rotation["old_key_id"] != rotation["new_key_id"],
        "federated is within 0.02 of centralized": accuracy["federated"]
        >= accuracy["centralized"] - 0.02,
        "the server saw no secret": not secrets,
    }
    return [promise for promise, kept in promises.items() if not kept]


if __name__ == "__main__":
    sys.exit(main())
