"""Faults that are planted into sound recordings, to measure how many of them the checks find."""
