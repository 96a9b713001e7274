"""What ships in the judge's image: prompts, engine, service. Imports no sibling package."""

__version__ = "0.1.0"
