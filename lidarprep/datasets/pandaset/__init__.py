"""PandaSet: pickled pandas frames, read without running them."""
