"""The embedded index server: Qdrant's own engine behind the part of Qdrant's REST API in use.

One process owns the data directory; any qdrant-client talks to it as to a Qdrant server.

    wire, bodies, errors    what a request and an answer look like
    spec, filters, points,  Qdrant's JSON turned into the engine's types, strictly:
    searches, rendering     what is not supported is refused by name
    effects, journal        what a write did, and the log that makes it durable
    shard, writer,          one collection: the engine, its one writer, the swap to a
    collection, optimiser   freshly built HNSW graph
    registry                the collections and aliases of a data directory
    routes_*, app, main     HTTP and the process
"""
