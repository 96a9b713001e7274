"""What answers in the judge's image: `http/` takes the calls, `engine/` writes the answers.

Imports nothing of the kit but the part of `common` that ships with it.
"""

__version__ = "0.1.0"
