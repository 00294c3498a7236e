"""The sockets: what changes in the log, told to whoever subscribed. Read the modules in this order:

messages     bytes from clients -> requests; facts -> the text of server messages (pure)
folding      1m records and the forming minute -> candles of every larger interval (pure)
seconds      trades -> 1s candles (pure)
outbox       what one connection still has to be sent: bounded, conflating
reads        what has to be asked of tables and log before a subscription is live
feeds        the log's records of one topic -> messages, each made once
second_feed  the same for 1s candles
hub          one per process: topics -> feeds -> connections
replay       what a client missed since its cursor
consumer     one per connection: requests in, the outbox out

There is no channel layer on the path: every process follows the log itself.
"""
