"""The judge's contract over HTTP: routes, admission, the optional token, shutdown, metrics."""
