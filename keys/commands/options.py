"""Options and arguments that several subcommands take."""

from __future__ import annotations

from typing import Annotated

import typer

KeyArgument = Annotated[str, typer.Argument(help="The key_id, or the first digits of it.")]
ModelOption = Annotated[str, typer.Option("--model", "-m", help="The model that the key is for.")]

__all__ = ["KeyArgument", "ModelOption"]
