"""The harness: public data, protocols, metrics, methods, and the report of `firstlight evaluate`."""
