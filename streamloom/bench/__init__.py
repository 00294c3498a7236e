"""The hot paths beside their naive versions: ``manage.py bench``.

The naive versions are kept for good: they are the oracle (a fast path must first give the same) and the denominator
of every ratio. Read ``contest`` first, then ``catalogue``; each other module holds the cases of one path.
"""
