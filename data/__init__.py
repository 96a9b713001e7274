"""Books to question-answer pairs: read, chunk, ask, filter, split, write; see `pipeline.py`."""
