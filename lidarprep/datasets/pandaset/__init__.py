"""PandaSet: pickled pandas frames, which are read and never run."""
