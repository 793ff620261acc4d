"""What an administrator may do: one function for each deed, checked, audited, the same for every surface (SPEC M16).

Doors call deeds and show what they answer; rules of the trade live in the rooms below.
docs/command-line.md lists the deeds as commands.
"""
