"""The peer: driver, network, mempool, HTTP API, anchoring, connectors."""
