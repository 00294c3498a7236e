"""ClickHouse's HTTP interface over one chDB engine: for development and tests, where no server can be had.

So the HTTP client's path is the one that runs, and several processes share one store. It is no server to rely on:
it trusts everybody who reaches it, holds every answer in memory, has no sessions, users, quotas or cancelling,
and steps aside where ``CLICKHOUSE_URL`` names another server.

request   what is asked, from URL, headers and body (pure)
encoding  compression of bodies
engine    one answer from chDB
app       the ASGI application
"""
