"""Side-by-side measurements: ratios within one run, against the raw limit or a peer."""
