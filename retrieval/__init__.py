"""The book at hand: the passages that a question is answered from, found in an index of the book.

`search`, `terms`, `sparse`, `dense`, `fusion` and `rerank` ship in the judge's image and know
nothing of the kit but `common`; `build` and `evaluate` read books and test sets and stay here.
"""
