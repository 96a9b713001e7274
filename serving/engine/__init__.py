"""Token ids in, answers out, by a deadline; vLLM first, Transformers where it is missing."""
