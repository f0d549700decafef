"""Servers of object stores on loopback: Azurite, a small one of Google Cloud Storage, and faults before them."""
