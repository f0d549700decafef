"""Faults planted into sound scenes in memory, with what the checks have to say of each."""
