"""Poses from a file beside the recording: KITTI and TUM rows, CSV, JSON; matched to frames by name, time or order."""
