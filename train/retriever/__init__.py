"""Training what finds passages: a bi-encoder (`train retriever`) and a cross-encoder (`train
reranker`), by sentence-transformers' own trainers."""
