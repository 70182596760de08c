"""The subcommands of ``blindfit-keys``."""
