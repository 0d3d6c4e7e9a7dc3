"""The harness of `firstlight evaluate`: data sets, protocols, metrics, methods, the report."""
