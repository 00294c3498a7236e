"""Brings back what is missing: gaps of ``coverage`` are asked for by REST until they are filled or proved to be holes.

Read in this order: ``runs`` (ranges of ids), ``work`` (one symbol's state; events and pages in, state out),
``page`` (what a page of REST proves), ``plan`` (what to ask next), ``role`` (the loop that does the I/O).
Everything but ``role`` is pure: time and chance are arguments.
"""
