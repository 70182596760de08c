"""The life of a client's secrets: keysets, sealing, the store, rotation, identity."""
