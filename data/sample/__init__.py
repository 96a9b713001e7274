"""The sample book and its test sets: a demo of the flow, see README.md."""
