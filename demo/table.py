"""The demo's findings as a table in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from demo.findings import Findings


def lines(findings: Findings) -> list[tuple[str, str]]:
    """What was found, in words and figures; the page shows the same."""
    document, seen = findings.document, findings.seen
    accuracy, rotation = document["accuracy"], document["rotation"]
    matches = document["encrypted_matches_clear"]
    return [
        ("Accuracy, encrypted predictions", f"{accuracy['encrypted']:.4f}"),
        ("Accuracy, federated model in clear", f"{accuracy['federated']:.4f}"),
        ("Accuracy, if all rows had been in one place", f"{accuracy['centralized']:.4f}"),
        (
            "Secure aggregation",
            f"on: of each round the server learned the sum over {document['participants']} "
            "hospitals, whose keys the study names, and no hospital's part of it"
            if document["secure_aggregation"]
            else "off!",
        ),
        (
            "Encrypted equals quantized clear",
            f"{matches:.1%} of {document['encrypted_rows']} rows, with both keys",
        ),
        (
            "Circuit",
            f"{findings.bits} bits; {findings.gate_rows} worst-case and random rows agreed "
            "before publishing",
        ),
        (
            "A row",
            f"{findings.bytes_up:,} bytes up, {findings.bytes_down:,} down; "
            f"{1000 * findings.latency_p50:.0f} ms from encrypting to decrypted if alone, "
            f"{1000 * findings.row_seconds:.0f} ms among many; "
            f"{1000 * findings.run_seconds:.0f} ms of it in the circuit",
        ),
        (
            "Key rotation",
            f"{rotation['predictions_during']} predictions during it, {rotation['failed']} failed",
        ),
        (
            "What the server saw",
            f"{seen.requests_bytes / 1e6:.1f} MB of requests, {seen.stored_bytes / 1e6:.1f} MB "
            "stored: "
            + (
                f"{len(seen.secrets)} secrets!"
                if seen.secrets
                else "no secret key and no row in it"
            ),
        ),
        (
            "Time",
            f"training {document['seconds']['training']:.0f} s, publishing "
            f"{document['seconds']['compile']:.0f} s, all {document['seconds']['total']:.0f} s",
        ),
    ]


def print_findings(findings: Findings) -> None:
    """Print the table, and where the report is."""
    table = Table(
        title="Blindfit on scikit-learn's digits", show_header=False, title_justify="left"
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for what, found in lines(findings):
        table.add_row(what, found)
    console = Console()
    console.print(table)
    console.print("The whole report: build/demo/report.html")
