"""Books become question-answer pairs: read, cut, ask, clean, split, write; see `__main__`."""
