"""From question-answer pairs to a model that can be served. Runs in its own environment."""
