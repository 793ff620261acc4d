"""The gateway beside other programs: real processes, the same load, the same upstream, in turn in one run.

A module for each figure; ``programs`` and ``postfix`` start the contenders, ``load`` sends, ``rounds`` measures them in
turn. CPU time is that of a program with all its processes, from the kernel; what sends and what receives is not in it.
"""
