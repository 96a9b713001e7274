"""Before the push: what the judge would find wrong with this repository and its model."""
