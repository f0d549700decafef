"""Argoverse 2 sensor logs: Feather tables and pictures, named by their times."""
