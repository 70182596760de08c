"""Studies to start from, and a script that writes rows for them."""
