"""`make bench`: the promises with figures, measured against a baseline in the same run."""
