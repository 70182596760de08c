"""`make demo`: the whole story with real processes, and a report about it."""
