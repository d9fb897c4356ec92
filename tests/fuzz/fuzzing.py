"""Fuzz one target, with atheris on the path: `python -m tests.fuzz.fuzzing TARGET [libFuzzer options] FOLDER...`."""

import sys
from importlib import import_module

# In a folder of its own, unknown to type checkers.
atheris = import_module("atheris")

with atheris.instrument_imports(include=["extauthz.pdp", "extauthz.service"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
