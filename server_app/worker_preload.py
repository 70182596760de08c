"""Imported by the forkserver once: every worker starts as a copy of it, with Concrete in place."""

from __future__ import annotations

import gc

import server_app.worker  # noqa: F401

# What is frozen is not touched by a worker's garbage collector, so its pages stay shared.
gc.collect()
gc.freeze()
