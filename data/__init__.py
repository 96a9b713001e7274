"""Books become question-answer pairs: read, cut, ask, clean, split, write. See `data/__main__.py`."""
