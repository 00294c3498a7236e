"""The REST interface, exactly as API.md says. Views only translate: the answers are made in ``analytics.reading``.

problems   every error, as problem+json
fields     the types of query parameters; each says what it allows
query      a query's parameters, declared once for validation and for the schema
base       what all views share: rendering, negotiation, methods
paging     cursors and the Link header
caching    ETag and Cache-Control of closed ranges
shapes     the answers' shapes, for the schema
symbols, candles, revisions, trades, coverage, stats: one group of endpoints each
"""
