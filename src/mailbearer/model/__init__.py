"""The nouns of the trade: token, grant, service, provider, envelope, outcome.

Frozen values without I/O, clock or randomness; whoever needs behaviour builds it a floor higher.
ARCHITECTURE.md explains the floors.
"""
