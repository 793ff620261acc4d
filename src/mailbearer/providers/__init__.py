"""What Mailbearer knows of providers: the catalogue, hosts, scopes, named quirks, and what their answers mean.

Everything here is data and pure functions over it; connections, tokens and settings have no place in this room.
docs/providers.md tells it to administrators, docs/adding-a-provider.md how to add one.
"""
