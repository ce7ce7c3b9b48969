"""The stores, each written once over any backend."""
