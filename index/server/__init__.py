"""The embedded index server: Qdrant's own engine behind the part of Qdrant's REST API in use.

One process owns the data directory; any qdrant-client talks to it as to a Qdrant server.

    wire, bodies, errors      what a request and an answer look like
    spec, engine_config,      Qdrant's JSON turned into the engine's types, strictly: what is
    filters, points,          not supported is refused by name
    searches, rendering
    writes, effects           what a request asks for, and what it did, in absolute terms
    journal, replay, engine   the log that makes it durable, and the engine beneath
    writer, collection        one collection and its one writer
    graph, build, optimiser   when a graph is built, the child that does it, the swap
    registry, upkeep          the collections of a data directory, and their background work
    routes_*, app, main       HTTP and the process
"""
