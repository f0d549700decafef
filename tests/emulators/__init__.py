"""Servers of object stores for tests, on loopback: Azurite, a small one of Google Cloud Storage, and faults before them."""
