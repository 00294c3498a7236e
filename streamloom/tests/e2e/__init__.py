"""The product from outside: real processes, an exchange that misbehaves, and kills at any moment.

exchange   a simulated exchange as a process of its own, which survives the demo
oracle     what must come out, computed from the exchange's own trades by the pure pipeline
answers    what the demo answers, read over REST
audit      what is in a data folder that no process holds
frames     an exchange that serves recorded frames one by one
"""
