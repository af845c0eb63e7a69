"""The C engine on other machines: built for a target, run there or emulated, bit by bit.

``targets`` are compilers and what runs their programs, ``build`` compiles, ``networks`` writes
bundled networks to files that ``run_networks.c`` reads, and knows the bits that must come out.
"""
