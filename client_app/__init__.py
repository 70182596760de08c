"""What runs with the private rows: participants and clients."""
