"""Real servers as plain processes of this machine: for development, the fault harness and the tests.

Each listens on the loopback interface only, on a port of its own, and keeps its data in a folder of its own.
``native`` starts and ends them; one module per server says how it is run.
"""
