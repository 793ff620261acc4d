"""The Connection Test: the whole way of a service, step by step, each with its verdict and its time (SPEC M14).

It never sends, fetches or deletes mail, and no token ever stands in what it tells. docs/connection-test.md.
"""
