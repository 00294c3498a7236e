"""The fault harness: every process and server is killed, frozen or cut off, and what comes out is compared.

matrix        the rows: what is done to whom, and what must come of it
acts          how it is done
installation  real servers and every role, each a process whose pid is owned here
stage         an installation, its made-up exchange and a listener
facts         what log, tables, positions, REST and sockets say
invariants    what must hold of it (pure)
sabotage      kills at aimed lines, and protections switched off, in processes started here only
rounds        one row: set up, do it, wait until quiet, judge
"""
