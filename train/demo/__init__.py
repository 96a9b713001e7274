"""The demo model: a toy that knows the sample book, to show the flow without a model or GPU."""
