"""The subcommands of `blindfit-server`, one subject a module."""
